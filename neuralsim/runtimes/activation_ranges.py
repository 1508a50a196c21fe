"""Ranges of a model's activations, which int8 needs: one small JSON file.

``neuralsim model quantise`` measures it on this machine, or it comes with the model as ``int8.json`` next to its graph.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from neuralsim.runtimes import cache
from neuralsim.runtimes.interface import NotCalibrated

NAME = "int8.json"


@dataclass(frozen=True)
class Ranges:
    """The measured ranges of one model."""

    model: str  # sha256 of the ONNX file
    frames: int  # count of frames measured
    source: str  # of the frames, for humans
    range: dict[str, float]  # activation -> the largest magnitude that int8 is to represent

    @property
    def key(self) -> str:
        """Return eight hex digits that change whenever a range does."""
        return cache.key(dict(self.range))[:8]


def load_ranges(graph: Path) -> Ranges:
    """Return the ranges measured on this machine, else those that came with the model. Raises NotCalibrated."""
    digest = cache.sha256(graph)
    for path in (cache.form(graph, NAME), graph.with_name(NAME)):
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            values = {str(name): float(value) for name, value in stored["range"].items()}
            if stored["model"] == digest and values:
                return Ranges(digest, int(stored["frames"]), str(stored["source"]), values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    raise NotCalibrated("int8 is not calibrated for this model yet: run neuralsim model quantise")


def save_ranges(graph: Path, ranges: Ranges, path: Path | None = None) -> Path:
    """Write ``ranges`` where ``load_ranges`` reads them, or to ``path``; returns the file. Raises OSError."""
    path = path or cache.form(graph, NAME)
    rounded = {name: float(f"{value:.5g}") for name, value in sorted(ranges.range.items())}
    cache.write(path, json.dumps(asdict(ranges) | {"range": rounded}, indent=1).encode() + b"\n")
    return path
