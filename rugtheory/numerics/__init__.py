"""Kernels that know no physics: rectified Gaussians, Gaussian rules, searches, transforms."""
