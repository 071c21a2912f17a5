"""What is emitted: amplitude laws, a file each, and the law of one feature."""
