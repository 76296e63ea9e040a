"""Trains the models of echoes-rt: codecs, vocoder and transformer, from media to checkpoints."""
