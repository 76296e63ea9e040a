"""In which precision a bundle stores each weight."""

import torch
from torch import Tensor

from echoes_export.bundle.models import Models
from echoes_rt.errors import InputError

PRECISIONS = ("fp16", "fp32")


def stored_dtype(name: str, tensor: Tensor, weights: str) -> torch.dtype:
    """Matrices and kernels are stored as ``weights`` says, all other numbers in fp32.

    Vectors are too small to matter. Codebooks are small as well, and a rounded code can lose a
    latent that lies between two codes to its neighbour.
    """
    if not tensor.is_floating_point():
        return tensor.dtype  # a norm's count of batches
    is_codebook = name.endswith("quantize.embedding.weight")
    if weights == "fp16" and tensor.ndim > 1 and not is_codebook:
        return torch.float16
    return torch.float32


def rounded(models: Models, weights: str) -> Models:
    """A copy whose fp32 weights have the values that a bundle will store.

    Raises:
        InputError: if a weight is beyond the range of fp16.
    """
    models = models.copy()
    with torch.no_grad():
        for part, module in models.modules.items():
            for name, tensor in module.state_dict().items():
                tensor.copy_(tensor.to(stored_dtype(name, tensor, weights)))
                if not tensor.isfinite().all():
                    raise InputError(
                        f"weight {part}.{name} is not finite in {weights}; "
                        "use --weights fp32, or train it again if that fails too"
                    )
    return models
