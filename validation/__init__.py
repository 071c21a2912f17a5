"""Trained models, held against the theory.  ``python -m validation --help``."""
