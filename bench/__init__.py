"""Measures the decoding loop and the whole pipeline against other engines on one machine."""
