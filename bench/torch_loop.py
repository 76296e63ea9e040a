"""The decoding loop in PyTorch on its own device, as one would write it with care for a GPU."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from echoes_rt.decode.reference import LOGIT_FLOOR
from echoes_rt.format.sampling import DRAWING
from echoes_training.stages.rollouts import draw, weights_of

Arrays = Mapping[str, NDArray[Any]]


class TorchLoop:
    """Graph ``decode_audio`` as a session; no step waits for the host.

    Args:
        logits: (R, N) tokens and (B, ...) context to (R, N, V); rows beyond B are without context.
        device: of the module and of all work.
        half: autocast's type for the network, or None for float32.
        is_recorded: whether the first call is recorded as a CUDA graph, which the later ones
            replay; they must be of the same plan.
    """

    inputs = ("guidance_scale",)

    def __init__(
        self,
        logits: nn.Module,
        device: str,
        half: torch.dtype | None = None,
        *,
        is_recorded: bool = False,
    ) -> None:
        self.device = device
        self._logits = logits
        self._half = half
        self._is_recorded = is_recorded
        self._graph: tuple[torch.cuda.CUDAGraph, dict[str, Tensor], Tensor] | None = None

    @torch.inference_mode()
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        given = {
            name: torch.from_numpy(np.ascontiguousarray(inputs[name])).to(self.device)
            for name in ("tokens", "context", "positions", "uniforms")
        }
        if not self._is_recorded:
            return {"decoded": self._decode(given, inputs).cpu().numpy()}
        if self._graph is None:
            self._graph = self._recorded(given, inputs)
        graph, kept, decoded = self._graph
        for name, tensor in given.items():
            kept[name].copy_(tensor)
        graph.replay()
        return {"decoded": decoded.cpu().numpy()}

    def _recorded(
        self, given: dict[str, Tensor], plan: Arrays
    ) -> tuple[torch.cuda.CUDAGraph, dict[str, Tensor], Tensor]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._decode(given, plan)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            decoded = self._decode(given, plan)
        return graph, given, decoded

    def _decode(self, given: dict[str, Tensor], plan: Arrays) -> Tensor:
        tokens, context = given["tokens"], given["context"]
        members, n_tokens = tokens.shape
        for step, scale in enumerate(plan["guidance_scale"]):
            if scale == 1:
                logits = self._scores(tokens, context)
            else:
                rows = self._scores(torch.cat([tokens, tokens]), context)
                seen, alone = rows.split(members)
                logits = alone + float(scale) * (seen - alone)
            where = given["positions"][step].long()
            at = where.clamp(max=n_tokens - 1)[..., None].expand(-1, -1, logits.shape[2])
            weights = weights_of(logits.gather(1, at), **{key: plan[key][step] for key in DRAWING})
            drawn = draw(weights, given["uniforms"][step].double())
            # One column more, for what draws nothing.
            padded = torch.cat([tokens, tokens[:, :1]], dim=1)
            tokens = padded.scatter(1, where, drawn.to(tokens.dtype))[:, :n_tokens]
        return tokens

    def _scores(self, rows: Tensor, context: Tensor) -> Tensor:
        with torch.autocast(rows.device.type, dtype=self._half, enabled=self._half is not None):
            scores: Tensor = self._logits(rows, context)
        return scores.float().clamp(min=float(LOGIT_FLOOR))
