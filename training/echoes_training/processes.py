"""The processes of one run: how they share a batch and bring their results together."""

import contextlib
import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from echoes_rt.errors import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch.distributed.tensor import DTensor

T = TypeVar("T")


class Processes:
    """This process and its fellows, as torchrun or ``accelerate launch`` started them.

    Alone if neither did; then nothing here changes a value.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.accelerator: Accelerator | None = None
        self.device = torch.device(device)
        self.size, self.rank = 1, 0
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self._join()

    def _join(self) -> None:
        from accelerate import Accelerator

        for name in ("FSDP", "DEEPSPEED"):
            if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
                raise InputError(
                    f"accelerate's configuration asks for {name}; "
                    "leave it out there and pass --set sharded=True to the transformer instead"
                )
        # Autocast is device.autocast's; the configuration of accelerate shall not add another.
        self.accelerator = Accelerator(cpu=self.device.type == "cpu", mixed_precision="no")
        self.device = self.accelerator.device
        self.size = self.accelerator.num_processes
        self.rank = self.accelerator.process_index

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes."""
        return self.rank == 0

    def parts(self, batch_size: int, accumulate: int) -> list[range]:
        """Which samples of a batch this process works on, one range a part.

        The stride is the number of all parts of all processes, so that every part is a fair
        sample of the batch, whatever the batch puts first.

        Raises:
            InputError: if the parts would differ in size.
        """
        stride = self.size * accumulate
        if batch_size % stride:
            raise InputError(
                f"loop.batch_size must be a multiple of processes x loop.accumulate, "
                f"{self.size} x {accumulate}, got {batch_size}"
            )
        return [
            range(part * self.size + self.rank, batch_size, stride) for part in range(accumulate)
        ]

    def wrap(self, module: nn.Module, *, may_idle: bool = False) -> nn.Module:
        """What to call in place of ``module``, so that all processes get the mean gradient.

        ``may_idle`` says that there are steps in which some of the parameters have no gradient.
        """
        if self.accelerator is None or any(map(is_shared, module.parameters())):
            return module
        from accelerate import DistributedDataParallelKwargs

        # Every process computes the same buffers, so there is nothing to broadcast.
        self.accelerator.ddp_handler = DistributedDataParallelKwargs(
            broadcast_buffers=False, find_unused_parameters=may_idle
        )
        return cast(nn.Module, self.accelerator.prepare(module))

    def shard(self, module: nn.Module, blocks: nn.ModuleList) -> None:
        """Leaves each process its share of the parameters (FSDP); ``blocks`` are gathered singly.

        Accelerate shards on accelerators alone; PyTorch, to which it hands on, does on a CPU, too.
        """
        if self.accelerator is None:
            return
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.device.type, (self.size,))
        for part in (*blocks, module):
            # Also the outermost gives its weights back, so that whoever writes to the shares (the
            # moving average, a checkpoint) writes to what the next step will gather.
            fully_shard(part, mesh=mesh, reshard_after_forward=True)

    def without_exchange(self, wrapped: nn.Module) -> AbstractContextManager[object]:
        """In it, this process only adds up its own gradients; shares have no room for that."""
        if isinstance(wrapped, DistributedDataParallel):
            return wrapped.no_sync()
        return contextlib.nullcontext()

    def mean(self, value: Tensor) -> Tensor:
        """Over the processes; no gradient passes."""
        if self.accelerator is None:
            return value
        return cast(Tensor, self.accelerator.reduce(value.to(self.device), "mean"))

    def sum(self, value: Tensor) -> Tensor:
        """Over the processes; no gradient passes."""
        if self.accelerator is None:
            return value
        return cast(Tensor, self.accelerator.reduce(value.to(self.device), "sum"))

    def norm(self, value: Tensor) -> Tensor:
        """Euclidean, of the values of all processes; gradients pass."""
        norm = value.norm()
        return norm if self.size == 1 else sum_over_processes(norm.square()).sqrt()

    def whole_batch(self, parts: list[Tensor]) -> Tensor:
        """(B, ...): what the processes have by ``parts``, in the order of the batch."""
        if self.size * len(parts) == 1:
            return parts[0]
        stacked = torch.stack(parts).contiguous()  # (accumulate, b, ...)
        if self.accelerator is None:
            everyone = stacked[None]
        else:
            everyone = self.accelerator.gather(stacked[None])  # (size, accumulate, b, ...)
        return everyone.transpose(0, 2).flatten(0, 2)

    def same(self, value: T) -> T:
        """The main process's value, at all of them."""
        if self.accelerator is None:
            return value
        from accelerate.utils import broadcast_object_list

        return cast(T, broadcast_object_list([value])[0])

    def main_says(self, answer: bool) -> bool:
        """The main process's answer, at all of them."""
        return bool(self.sum(torch.tensor(int(answer and self.is_main))))

    def wait(self) -> None:
        """For all to arrive here."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()


def are_many() -> bool:
    """Whether there is more than this process; some builds of PyTorch know of no others."""
    return distributed.is_available() and distributed.is_initialized()


def is_shared(tensor: Tensor) -> bool:
    """Whether ``Processes.shard`` has left this process a share of it."""
    if not are_many():
        return False
    from torch.distributed.tensor import DTensor  # slow to import, and missing in some builds

    return isinstance(tensor, DTensor)


def gathered(tensor: Tensor) -> Tensor:
    """The whole of it, to be called by all processes."""
    return cast("DTensor", tensor).full_tensor() if is_shared(tensor) else tensor


def shared_like(current: Tensor | None, whole: Tensor) -> Tensor:
    """This process's share of ``whole``, if it has a share of ``current``; to be called by all."""
    if current is None or not is_shared(current):
        return whole
    from torch.distributed.tensor import distribute_tensor

    like = cast("DTensor", current)
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements)


def sum_over_processes(value: Tensor) -> Tensor:
    """The sum of all processes' values; its gradient reaches each of them."""
    return cast(Tensor, _Sum.apply(value))


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of all processes' values; its gradient reaches each of them."""
    if not are_many():
        return value
    return sum_over_processes(value) / distributed.get_world_size()


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        result = value.clone()
        distributed.all_reduce(result)
        return result

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        result = gradient.contiguous().clone()
        distributed.all_reduce(result)
        return result
