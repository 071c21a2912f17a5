"""What can be said without weights: loss, optimum, bounds, pairs, scaling."""
