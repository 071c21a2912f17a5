"""What weights do: exact losses, statistics, and what explains a loss."""
