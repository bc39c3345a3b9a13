"""Computations that were recorded once and run again on other arrays: batches of `fit`."""
