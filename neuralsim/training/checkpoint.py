"""The state of a run on disk: ``last.safetensors`` holds everything that is needed to continue after a kill."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from neuralsim.base.failure import reason
from neuralsim.models.discriminator import Features
from neuralsim.models.generator import Generator
from neuralsim.training.config import TrainConfig, is_flat, nested

STATE = "last.safetensors"
#: What a run may add when it is resumed: the discriminator's heads on the features of a second network.
_LATER = tuple(f"heads.{head}." for head in range(len(Features.CHANNELS), 2 * len(Features.CHANNELS)))
#: Names of networks in older states -> those of now.
_NETWORKS = {
    "judge": "discriminator",
    "judge_adam": "discriminator_adam",
    "painter": "generator",
    "painter_adam": "generator_adam",
}
_SETTINGS = {"judge_rate": "discriminator_rate"}
#: Settings that change nothing of what is learned.
_NOT_LEARNED: Any = {"name": True, "steps": True, "output": True, "data": {"memory", "workers"}}


class NetworkAndOptimiser(Protocol):
    """A network with its optimiser."""

    network: nn.Module
    adam: torch.optim.Adam


class Resumable(Protocol):
    """What makes up the state of a trainer."""

    stage: int
    step: int
    started: int

    @property
    def config(self) -> TrainConfig: ...
    @property
    def device(self) -> str: ...
    @property
    def generator(self) -> Generator: ...
    @property
    def average(self) -> nn.Module: ...
    @property
    def statistics(self) -> Mapping[str, nn.Module]: ...
    @property
    def class_statistics(self) -> Mapping[str, nn.Module]: ...
    @property
    def learners(self) -> Mapping[str, NetworkAndOptimiser]: ...


def save(trainer: Resumable, folder: Path) -> None:
    """Write ``last.safetensors``; a kill or a full disk at any moment leaves the state before it.

    Raises OSError, one line.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in _modules(trainer).items():
        tensors |= {f"{name}.{k}": v.contiguous() for k, v in module.state_dict().items()}
    for name, learner in trainer.learners.items():
        for index, state in learner.adam.state_dict()["state"].items():
            tensors |= {f"{name}_adam.{index}.{k}": torch.as_tensor(v).contiguous() for k, v in state.items()}
    metadata = {
        "stage": str(trainer.stage),
        "step": str(trainer.step),
        "started": str(trainer.started),
        "generator": json.dumps(trainer.generator.config.as_dict()),
        "config": trainer.config.model_dump_json(),
    }
    new = folder / "last.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.clone() for k, v in tensors.items()}, new, metadata=metadata)
        new.replace(folder / STATE)
    except (OSError, SafetensorError) as error:
        new.unlink(missing_ok=True)
        raise OSError(f"{folder}: step {trainer.step} cannot be saved ({reason(error)}); {last_good(folder)}") from None


def resume(trainer: Resumable, folder: Path) -> None:
    """Continue from what ``save`` wrote.

    Discriminators, and heads of them, that the run did not have before start untrained, with a new optimiser. Raises
    FileNotFoundError when there is nothing, ValueError for another architecture.
    """
    tensors = {current_name(name): tensor for name, tensor in load_file(folder / STATE, device=trainer.device).items()}

    def part(prefix: str) -> dict[str, Tensor]:
        return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(prefix + ".")}

    grown: set[str] = set()
    for name, module in _modules(trainer).items():
        if not part(name) and name not in ("generator", "average"):
            continue
        try:
            saved = part(name)
            new = {k: v for k, v in module.state_dict().items() if k.startswith(_LATER) and k not in saved}
            module.load_state_dict(new | saved)
            if new:
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
        settings = json.loads(metadata.get("config", ""))
        if is_flat(settings):
            settings = nested({_SETTINGS.get(name, name): value for name, value in settings.items()})
        before = TrainConfig.model_validate(settings).model_dump(exclude=_NOT_LEARNED)
    except ValueError:  # there is none, or it has settings that no longer exist
        return
    if before == trainer.config.model_dump(exclude=_NOT_LEARNED):
        trainer.started = int(metadata["started"])  # as if it had never stopped


def pack(folder: Path, out: Path) -> Path:
    """Write the networks of the run in ``folder`` to the file ``out``, in half precision and without optimisers; return
    it.

    The generator is the averaged one. ``model.start`` begins with such a file, discriminators included. Raises
    ValueError where there is no state, OSError.
    """
    if not (folder / STATE).is_file():
        raise ValueError(f"{folder}: no trained state in it; `neuralsim model train` first")
    kept = {}
    for name, tensor in load_file(folder / STATE).items():
        network = name.partition(".")[0]
        if network != "generator" and not network.endswith("_adam"):
            is_moment = network.startswith("frechet")  # whose squares half precision cannot hold
            kept[name.replace("average.", "generator.", 1)] = tensor.clone() if is_moment else tensor.half()
    metadata = {name: about(folder)[name] for name in ("step", "generator")}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, out, metadata=metadata)
    return out


def start(trainer: Resumable, file: Path) -> None:
    """Begin with the networks of a file by ``pack``; what it lacks stays new.

    Raises OSError, and ValueError for networks of another architecture or a file that is none.
    """
    try:
        tensors = load_file(file, device=trainer.device)
    except SafetensorError as error:
        raise ValueError(f"{file}: not a packed state ({reason(error)})") from None
    for name, module in _modules(trainer).items():
        prefix = "generator." if name == "average" else f"{name}."
        part = {key[len(prefix) :]: tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        try:
            if part or name == "generator":
                module.load_state_dict(part)
        except RuntimeError:
            raise ValueError(f"{file}: its {name} is of another architecture") from None


def about(run: Path) -> dict[str, str]:
    """Return the metadata of the state in the folder ``run``, at least ``step``. Raises ValueError without that."""
    with safe_open(run / STATE, "pt") as file:
        metadata = file.metadata() or {}
    if "painter" in metadata:  # the key of older states
        metadata["generator"] = metadata.pop("painter")
    older = run / "last.json"  # written next to the tensors before these carried metadata
    if "step" not in metadata and older.is_file():
        with suppress(OSError, ValueError, KeyError, TypeError):
            metadata |= {"step": str(int(json.loads(older.read_text(encoding="utf-8"))["step"]))}
    if "step" not in metadata:
        raise ValueError(f"{run / STATE} does not say at which step it was written; train into a new folder")
    return metadata


def current_name(name: str) -> str:
    """Return the name of now of a tensor in a state, whose first part is the network's."""
    network, _, rest = name.partition(".")
    if network.startswith("frechet") and rest.startswith("painted."):
        rest = rest.replace("painted", "generated", 1)
    return f"{_NETWORKS.get(network, network)}.{rest}"


def last_good(folder: Path) -> str:
    """Describe, for a message, the state that there is to continue from."""
    return f"the last good state is {folder / STATE}" if (folder / STATE).exists() else "nothing was saved before"


def _modules(trainer: Resumable) -> dict[str, nn.Module]:
    networks = {"average": trainer.average} | {name: each.network for name, each in trainer.learners.items()}
    return networks | dict(trainer.statistics) | dict(trainer.class_statistics)
