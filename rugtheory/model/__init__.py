"""Weights as given: reading files, exact losses, statistics, and what explains a loss."""
