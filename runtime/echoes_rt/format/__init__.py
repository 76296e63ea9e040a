"""The contracts shared by training, export and runtime; numpy and the standard library only."""
