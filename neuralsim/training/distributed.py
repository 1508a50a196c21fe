"""Several processes that train one model: ``torchrun --nproc-per-node 2 -m neuralsim model train CONFIG.yaml``.

Each process makes its own examples, and before an update the gradients are averaged over all processes. That is what
DistributedDataParallel computes; it is done by hand because the discriminator is trained in one half of a step and
fixed in the other, which the hooks of that class do not allow.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

_TIMEOUT = timedelta(hours=6)  # the others wait while the first one records frames in the towns


@dataclass(frozen=True)
class Ranks:
    """The number of this process, and how many there are."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process saves and reports."""
        return self.rank == 0

    def average(self, network: nn.Module) -> None:
        """Replace the gradients of ``network`` by their mean over all processes."""
        if self.world == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.world
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def all_agree(self, answer: bool, device: str) -> bool:
        """Return whether all processes say yes: their clocks differ, and a signal may reach one of them first."""
        if self.world == 1:
            return answer
        answers = torch.tensor([float(answer)], device=device)
        distributed.all_reduce(answers, distributed.ReduceOp.MIN)
        return bool(answers.item())

    def wait_for_all(self) -> None:
        """Wait until all processes have come here."""
        if self.world > 1:
            distributed.barrier()


def device() -> str:
    """Return this process's device: under torchrun each has its own GPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes that torchrun started; without torchrun there are none."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(device())
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_TIMEOUT)
    try:
        yield Ranks(distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()
