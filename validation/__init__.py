"""Trained models, compared with the theory.  ``python -m validation --help``."""
