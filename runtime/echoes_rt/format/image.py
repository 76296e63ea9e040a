"""What a picture looks like to the model."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """Size and normalisation of the picture that the image codec reads and writes.

    The rule: the largest centred crop with the model's aspect ratio is resized (area averaging) to
    ``height`` x ``width`` RGB, scaled to [0, 1], then ``(x - mean) / std`` per channel.
    """

    height: int = 128
    width: int = 128
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"image size must be positive, got {self.height} x {self.width}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("image mean and std need three values each, and std above 0")
