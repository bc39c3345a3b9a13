"""Small helpers around training: names, seeds, sequences."""
