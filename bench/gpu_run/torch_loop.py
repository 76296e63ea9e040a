"""The decoding loop in PyTorch on its own device, as one would write it with care for a GPU."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from echoes_rt.decode.plan import Plan, noise_of
from echoes_rt.decode.reference import LOGIT_FLOOR
from echoes_training.stages.rollouts import draw, weights_of


@dataclass(frozen=True, kw_only=True)
class TorchLoop:
    """Calling it gives (B, N) tokens; nothing of it waits for the host.

    Attributes:
        logits: (R, N) tokens and (B, ...) context to (R, N, V); rows beyond B are without context.
        half: autocast's type for the network, or None for float32.
    """

    logits: nn.Module
    tokens: Tensor
    context: Tensor
    positions: Tensor
    uniforms: Tensor
    plan: Plan
    half: torch.dtype | None

    @classmethod
    def of(
        cls,
        logits: nn.Module,
        question: Mapping[str, NDArray[np.generic]],
        plan: Plan,
        device: torch.device,
        half: torch.dtype | None = None,
    ) -> "TorchLoop":
        """Of a question's ``tokens``, ``context`` and ``uniforms`` (B, N)."""

        def put(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        noise = noise_of(plan, np.asarray(question["uniforms"], np.float32))
        return cls(
            logits=logits,
            tokens=put(question["tokens"]),
            context=put(question["context"]),
            positions=put(plan.positions).long(),
            uniforms=put(noise).double(),
            plan=plan,
            half=half,
        )

    def __call__(self) -> Tensor:
        tokens = self.tokens
        for step in range(self.plan.steps):
            tokens = self._step(tokens, step)
        return tokens

    def _step(self, tokens: Tensor, step: int) -> Tensor:
        members, n_tokens = tokens.shape
        scale = float(self.plan.guidance_scale[step])
        if scale == 1:
            logits = self._scores(tokens)
        else:
            seen, alone = self._scores(torch.cat([tokens, tokens])).split(members)
            logits = alone + scale * (seen - alone)
        where = self.positions[step]
        at = where.clamp(max=n_tokens - 1)[..., None].expand(-1, -1, logits.shape[2])
        weights = weights_of(logits.gather(1, at), **self.plan.drawing_at(step))
        drawn = draw(weights, self.uniforms[step])
        # One column more, for what draws nothing.
        padded = torch.cat([tokens, tokens[:, :1]], dim=1)
        return padded.scatter(1, where, drawn.to(tokens.dtype))[:, :n_tokens]

    def _scores(self, rows: Tensor) -> Tensor:
        kind = rows.device.type
        with torch.autocast(kind, dtype=self.half, enabled=self.half is not None):
            scores: Tensor = self.logits(rows, self.context)
        return scores.float().clamp(min=float(LOGIT_FLOOR))


def recorded(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """``run`` as one CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay
