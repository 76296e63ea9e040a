"""Turns trained runs into a bundle that the runtime reads."""
