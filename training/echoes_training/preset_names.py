"""The names of the presets, for commands that have not loaded them."""

PRESET_NAMES = ("tiny", "mini", "edge-small", "edge", "base", "large")
DEFAULT_PRESET = "mini"
