"""The state of a run on the disk: everything that is needed to go on after a kill lies in ``last.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from neuralsim.base.failure import reason
from neuralsim.models.discriminator import Features
from neuralsim.models.generator import Generator
from neuralsim.training.config import TrainConfig

STATE = "last.safetensors"
#: What a run may get while it goes on: the discriminator's heads on the features of a second network.
_LATER = tuple(f"heads.{head}." for head in range(len(Features.CHANNELS), 2 * len(Features.CHANNELS)))
#: Names in states of before -> those of now, of networks and of settings.
_NETWORKS = {"judge": "discriminator", "judge_adam": "discriminator_adam"}
_SETTINGS = {"judge_rate": "discriminator_rate"}
_LEARNED_WITHOUT = {"out", "steps", "minutes", "save_every", "panels_every", "memory", "workers"}  # settings


class Learns(Protocol):
    """A network and its optimiser."""

    network: nn.Module
    adam: torch.optim.Adam


class Resumable(Protocol):
    """What of a trainer makes up its state."""

    step: int
    started: int

    @property
    def config(self) -> TrainConfig: ...
    @property
    def device(self) -> str: ...
    @property
    def painter(self) -> Generator: ...
    @property
    def average(self) -> nn.Module: ...
    @property
    def statistics(self) -> Mapping[str, nn.Module]: ...
    @property
    def learners(self) -> Mapping[str, Learns]: ...


def save(trainer: Resumable, folder: Path) -> None:
    """Write ``last.safetensors`` so that a kill or a full disk at any moment leaves the state before it.

    Raises OSError, one line.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in _modules(trainer).items():
        tensors |= {f"{name}.{k}": v.contiguous() for k, v in module.state_dict().items()}
    for name, learner in trainer.learners.items():
        for index, state in learner.adam.state_dict()["state"].items():
            tensors |= {f"{name}_adam.{index}.{k}": torch.as_tensor(v).contiguous() for k, v in state.items()}
    about = {
        "step": str(trainer.step),
        "started": str(trainer.started),
        "painter": json.dumps(trainer.painter.config.as_dict()),
        "config": trainer.config.model_dump_json(),
    }
    new = folder / "last.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.clone() for k, v in tensors.items()}, new, metadata=about)
        new.replace(folder / STATE)
    except (OSError, SafetensorError) as error:
        new.unlink(missing_ok=True)
        raise OSError(f"{folder}: step {trainer.step} cannot be saved ({reason(error)}); {left(folder)}") from None


def resume(trainer: Resumable, folder: Path) -> None:
    """Go on from what ``save`` wrote. Discriminators, and heads of them, that the run did not have before begin afresh,
    with an optimiser of their own.

    Raises FileNotFoundError when there is nothing, ValueError for another architecture.
    """
    tensors = {_of_now(name): tensor for name, tensor in load_file(folder / STATE, device=trainer.device).items()}

    def part(prefix: str) -> dict[str, Tensor]:
        return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(prefix + ".")}

    grown: set[str] = set()
    for name, module in _modules(trainer).items():
        if not part(name) and name not in ("painter", "average"):
            continue
        try:
            found = part(name)
            begin = {k: v for k, v in module.state_dict().items() if k.startswith(_LATER) and k not in found}
            module.load_state_dict(begin | found)
            if begin:
                grown.add(name)
        except RuntimeError:
            raise ValueError(f"{folder}: its {name} is of another architecture; choose a new folder") from None
    for name, learner in trainer.learners.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in part(f"{name}_adam").items():
            index, field = key.split(".", 1)
            state.setdefault(int(index), {})[field] = value
        if state and name not in grown:
            learner.adam.load_state_dict({"state": state, "param_groups": learner.adam.state_dict()["param_groups"]})
    metadata = about(folder)
    trainer.step = trainer.started = int(metadata["step"])
    try:
        settings = {_SETTINGS.get(name, name): value for name, value in json.loads(metadata.get("config", "")).items()}
        before = TrainConfig.model_validate(settings).model_dump(exclude=_LEARNED_WITHOUT)
    except ValueError:  # there is none, or it is of settings that are gone
        return
    if before == trainer.config.model_dump(exclude=_LEARNED_WITHOUT):
        trainer.started = int(metadata["started"])  # as if it had never stopped


def about(run: Path) -> dict[str, str]:
    """What the state in the folder ``run`` says of itself: at least ``step``. Raises ValueError when it does not."""
    with safe_open(run / STATE, "pt") as file:
        metadata = file.metadata() or {}
    older = run / "last.json"  # runs wrote it beside the tensors before these carried their own description
    if "step" not in metadata and older.is_file():
        with suppress(OSError, ValueError, KeyError, TypeError):
            metadata |= {"step": str(int(json.loads(older.read_text(encoding="utf-8"))["step"]))}
    if "step" not in metadata:
        raise ValueError(f"{run / STATE} does not say at which step it was written; train into a new folder")
    return metadata


def _of_now(name: str) -> str:
    """A tensor's name, whose first part is the network's."""
    network, _, rest = name.partition(".")
    return f"{_NETWORKS.get(network, network)}.{rest}"


def left(folder: Path) -> str:
    """What there is to go on from."""
    return f"the last good state is {folder / STATE}" if (folder / STATE).exists() else "nothing was saved before"


def _modules(trainer: Resumable) -> dict[str, nn.Module]:
    networks = {"average": trainer.average} | {name: each.network for name, each in trainer.learners.items()}
    return networks | dict(trainer.statistics)
