"""Class maps: the meaning of the label ids of a data set, one YAML file each, for training, rendering and evaluation.

A file's ``labels`` gives each id one of CARLA's semantic tags by name (``bridge/tags.py``), the input of models;
``like`` names a map to extend; ``style`` names the light of most of its images. An id that is not listed is unknown: it
is counted and rendered as ``unlabeled``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

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
    listed; ``style``, the light of most of its images, "" = unknown."""

    name: str
    tags: np.ndarray
    known: np.ndarray
    style: str = ""

    def unknown(self, label: np.ndarray) -> dict[int, int]:
        """Return the pixels of each id in ``label`` (H, W) that the map does not list."""
        ids, counts = np.unique(label[~self.known[label]], return_counts=True)
        return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def names() -> list[str]:
    """Return the names of the maps that come with this installation."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def load(name: str) -> ClassMap:
    """Return a shipped map by name, or one from a file ending in ``.yaml``. Raises ClassMapError, one line."""
    labels, style = _labels(name, ())
    tags = np.full(1 << 16, Tag.UNLABELED, np.uint8)
    known = np.zeros(1 << 16, bool)
    for label, tag in labels.items():
        tags[label], known[label] = tag, True
    return ClassMap(Path(name).stem, tags, known, style)


def _labels(name: str, above: tuple[Path, ...]) -> tuple[dict[int, Tag], str]:
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
    style = ""
    if "like" in data:
        tags, style = _labels(str(data["like"]), (*above, path))
    for label, tag in data.get("labels", {}).items():
        if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < 1 << 16:
            raise ClassMapError(f"{path}: label id {printable(repr(label))} is not a whole number from 0 to 65535")
        if not isinstance(tag, str) or tag.upper() not in Tag.__members__:
            known = ", ".join(member.lower() for member in Tag.__members__)
            raise ClassMapError(f"{path}: label {label}: {printable(str(tag))} is not one of CARLA's tags: {known}")
        tags[label] = Tag[tag.upper()]
    return tags, str(data.get("style", style))
