"""Weights by construction, each with its loss, and the best structure known."""
