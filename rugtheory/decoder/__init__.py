"""Functions of a reading, a file each, their losses in channels, and the best of each kind."""
