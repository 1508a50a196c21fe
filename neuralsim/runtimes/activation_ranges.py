"""Ranges of a model's activations, which int8 needs: one small JSON file.

It is measured by ``neuralsim quantise`` on this machine, or comes with the model as ``int8.json`` beside its graph.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from neuralsim.runtimes import cache
from neuralsim.runtimes.interface import NotCalibrated

NAME = "int8.json"


@dataclass(frozen=True)
class Ranges:
    """What was measured of one model."""

    model: str  # sha256 of the ONNX file
    frames: int  # that were looked at
    source: str  # where they came from, for people
    range: dict[str, float]  # activation -> the largest magnitude that int8 is to represent

    @property
    def key(self) -> str:
        """Eight hex digits that change whenever a range does."""
        return cache.key(dict(self.range))[:8]


def recall(graph: Path) -> Ranges:
    """Ranges measured on this machine, else those that came with the model. Raises NotCalibrated."""
    digest = cache.sha256(graph)
    for place in (cache.form(graph, NAME), graph.with_name(NAME)):
        try:
            kept = json.loads(place.read_text(encoding="utf-8"))
            values = {str(name): float(value) for name, value in kept["range"].items()}
            if kept["model"] == digest and values:
                return Ranges(digest, int(kept["frames"]), str(kept["source"]), values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    raise NotCalibrated("int8 is not calibrated for this model yet: run neuralsim quantise")


def keep(graph: Path, ranges: Ranges, place: Path | None = None) -> Path:
    """Write ``ranges`` to where ``recall`` finds them, or to ``place``; returns the file. Raises OSError."""
    place = place or cache.form(graph, NAME)
    rounded = {name: float(f"{value:.5g}") for name, value in sorted(ranges.range.items())}
    cache.write(place, json.dumps(asdict(ranges) | {"range": rounded}, indent=1).encode() + b"\n")
    return place
