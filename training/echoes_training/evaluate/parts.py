"""What an evaluation judges; of its own, so that the command line starts without torch."""

SOUND_PARTS = ("vocoder", "codec", "generated")
PICTURE_PARTS = ("image_codec", "pictures")
TASK_PARTS = ("unknown", "cogenerated", "inpainted", "diversity", "ranked", "seams")

PARTS = (*SOUND_PARTS, *PICTURE_PARTS, "codebooks", *TASK_PARTS)
"""What may be judged besides the real media, which always are: all else is compared to them."""

NEED_PICTURE_JUDGE = frozenset((*PICTURE_PARTS, "cogenerated", "ranked"))

SOUND_SERIES = ("real", *SOUND_PARTS)
"""Every kind of sound that a report has accuracies of, from the best to the hardest."""

PICTURE_SERIES = ("real_pictures", *PICTURE_PARTS)
