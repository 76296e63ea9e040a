"""What an evaluation judges; of its own, so that the command line starts without torch."""

SOUND_PARTS = ("vocoder", "codec", "generated")
PARTS = (*SOUND_PARTS, "codebooks")
"""What may be judged besides the real sounds, which always are: all else is compared to them."""

SERIES = ("real", *SOUND_PARTS)
"""Every kind of sound that a report has accuracies of, from the best to the hardest."""
