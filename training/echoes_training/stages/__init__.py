"""One file per kind of training; every file reads from top to bottom."""
