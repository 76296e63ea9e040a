"""Weights that others published, turned into runs of our own stages."""
