"""Trains the models of echoes-rt: codecs, vocoder and transformer, from media to checkpoints."""

PRESET_NAMES = ("tiny", "edge-tiny", "mini", "edge-small", "edge", "base", "large")
DEFAULT_PRESET = "mini"
