"""Judges bundles, codes and media."""
