"""The models, and the folder that they are written to."""
