"""The independent truth: definitions integrated by mpmath, and tables of what that gave."""
