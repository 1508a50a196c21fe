"""Class maps: the meaning of the label ids of a data set, one YAML file each, for training, rendering and evaluation.

A file's ``labels`` gives each id one of CARLA's semantic tags by name (``bridge/tags.py``), the input of models;
``like`` names a map to extend; ``style`` names the light of most of its images; ``colours`` gives ids their [red,
green, blue] in coloured maps, and ``instances`` is what ids are multiplied by where the instance's number is added. An
id that is not listed is unknown: it is counted and rendered as ``unlabeled``.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bridge.tags import Tag
from bridge.untrusted import limits
from bridge.untrusted import yaml as untrusted_yaml
from bridge.untrusted.files import FileRefused
from bridge.untrusted.names import printable

HERE = Path(__file__).parent


class ClassMapError(ValueError):
    """A class map that cannot be used; the message is one line."""


@dataclass(frozen=True)
class ClassMap:
    """A class map: ``tags`` u8 (65536,), the CARLA tag of each label id; ``known`` bool (65536,), whether the id is
    listed; ``style``, the light of most of its images, "" = unknown; ``coloured`` u16 (N,), the ids that have one of
    ``colours`` u8 (N, 3), RGB, in coloured maps; ``instances``, the factor of ids in maps of instances, 0 = unknown."""

    name: str
    tags: np.ndarray
    known: np.ndarray
    style: str = ""
    coloured: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))
    colours: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    instances: int = 0

    def unknown(self, label: np.ndarray) -> dict[int, int]:
        """Return the pixels of each id in ``label`` (H, W) that the map does not list."""
        ids, counts = np.unique(label[~self.known[label]], return_counts=True)
        return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def names() -> list[str]:
    """Return the names of the maps that come with this installation."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def load(name: str) -> ClassMap:
    """Return a shipped map by name, or one from a file ending in ``.yaml``. Raises ClassMapError, one line."""
    labels, rest = _labels(name, ())
    tags = np.full(1 << 16, Tag.UNLABELED, np.uint8)
    known = np.zeros(1 << 16, bool)
    for label, tag in labels.items():
        tags[label], known[label] = tag, True
    coloured = {label: colour for label, colour in rest["colours"].items() if known[label]}
    colours = np.array(list(coloured.values()), np.uint8).reshape(-1, 3)
    return ClassMap(
        Path(name).stem, tags, known, rest["style"], np.array(list(coloured), np.uint16), colours, rest["instances"]
    )


def _labels(name: str, above: tuple[Path, ...]) -> tuple[dict[int, Tag], dict[str, Any]]:
    path = Path(name) if name.endswith((".yaml", ".yml")) else HERE / f"{name}.yaml"
    if path.parent == HERE and not os.path.isfile(path):  # False, without an error, for a text that cannot be a path
        raise ClassMapError(
            f"unknown class map {printable(name)}: there are {', '.join(names())}, or give a .yaml file"
        )
    if path in above:
        raise ClassMapError(f"{path}: `like` leads back to itself")
    if len(above) >= limits.CLASSES_NESTED:
        raise ClassMapError(f"{path}: `like` leads over more than {limits.CLASSES_NESTED} maps")
    try:
        data = untrusted_yaml.read(path)
    except OSError as error:
        raise ClassMapError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except FileRefused as error:
        raise ClassMapError(f"{path}: {error}") from None
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("labels", {}), dict)
        or not data.keys() & {"labels", "like"}
    ):
        raise ClassMapError(f"{path}: expected `labels:` with one `id: tag` per line")
    tags: dict[int, Tag] = {}
    rest: dict[str, Any] = {"style": "", "colours": {}, "instances": 0}
    if "like" in data:
        tags, rest = _labels(str(data["like"]), (*above, path))
    for label, tag in data.get("labels", {}).items():
        _check_id(path, label)
        if not isinstance(tag, str) or tag.upper() not in Tag.__members__:
            known = ", ".join(member.lower() for member in Tag.__members__)
            raise ClassMapError(f"{path}: label {label}: {printable(str(tag))} is not one of CARLA's tags: {known}")
        tags[label] = Tag[tag.upper()]
    colours = data.get("colours", {})
    if not isinstance(colours, dict):
        raise ClassMapError(f"{path}: expected `colours:` with one `id: [red, green, blue]` per line")
    for label, colour in colours.items():
        _check_id(path, label)
        if not isinstance(colour, list) or len(colour) != 3 or not all(_is_whole(each, 256) for each in colour):
            raise ClassMapError(f"{path}: the colour of label {label} is not [red, green, blue], 0 to 255 each")
    instances = data.get("instances", rest["instances"])
    if not _is_whole(instances, 1 << 15):
        raise ClassMapError(f"{path}: instances is {printable(repr(instances))}, not a factor of ids such as 1000")
    style = str(data.get("style", rest["style"]))
    return tags, {"style": style, "colours": rest["colours"] | colours, "instances": instances}


def _check_id(path: Path, label: object) -> None:
    if not _is_whole(label, 1 << 16):
        raise ClassMapError(f"{path}: label id {printable(repr(label))} is not a whole number from 0 to 65535")


def _is_whole(value: object, end: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end
