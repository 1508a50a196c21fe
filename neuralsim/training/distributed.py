"""Several processes that train one model: ``torchrun --nproc-per-node 2 -m neuralsim train CONFIG.yaml``.

Each process paints examples of its own, and before an update the gradients are averaged over all of them. That is what
DistributedDataParallel computes; it is done by hand because the discriminator is trained in one half of a step and
fixed in the other, which its hooks do not allow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

_PATIENCE = timedelta(hours=6)  # of the others, while the first one drives frames out of the towns


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Is this the one that saves and reports?"""
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

    def agreed(self, answer: bool, device: str) -> bool:
        """Whether all processes say yes: their clocks differ, and a signal may reach one of them first."""
        if self.world == 1:
            return answer
        answers = torch.tensor([float(answer)], device=device)
        distributed.all_reduce(answers, distributed.ReduceOp.MIN)
        return bool(answers.item())

    def meet(self) -> None:
        """Wait until all are here."""
        if self.world > 1:
            distributed.barrier()


def device() -> str:
    """This process's device: under torchrun each has a GPU of its own."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


@contextmanager
def joined() -> Iterator[Ranks]:
    """Meet the processes that torchrun started beside this one; without torchrun there are none."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(device())
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()
