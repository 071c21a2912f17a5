"""Weights as given: the class `Model`, and files of them."""
