"""Semantic editing: surfaces are rendered as another class than their own.

Wang et al. (Video-to-Video Synthesis, NeurIPS 2018) turned a street's buildings into trees in this way, by changing
label maps. Only the generator sees the change: instances, depth and motion stay, and recorded tags are the simulator's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bridge.tags import Tag, tag_by_name


@dataclass(frozen=True)
class Remap:
    """The tags that tags are rendered as, all at once: ``buildings=vegetation,vegetation=buildings`` swaps the two.

    An empty remap is false and changes nothing.
    """

    pairs: tuple[tuple[Tag, Tag], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Remap:
        """Parse ``TAG=TAG``, several separated by commas; "none" or "" is empty. Raises ``ValueError``, one line."""
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if parts in ([], ["none"]):
            return cls()
        pairs = [part.partition("=")[::2] for part in parts]
        wrong = next((part for part in parts if part.count("=") != 1), "")
        if wrong:
            raise ValueError(f"{wrong!r} is not TAG=TAG, such as buildings=vegetation")
        return cls.of(pairs)

    @classmethod
    def of(cls, names: Mapping[str, str] | Iterable[tuple[str, str]]) -> Remap:
        """Make a remap from names of tags. Raises ``ValueError``, one line, also where one tag would become two."""
        targets: dict[Tag, Tag] = {}
        for name, other in names.items() if isinstance(names, Mapping) else names:
            source, target = tag_by_name(name), tag_by_name(other)
            if targets.setdefault(source, target) != target:
                raise ValueError(
                    f"{source.name.lower()} cannot become {targets[source].name.lower()} and {target.name.lower()}"
                )
        return cls(tuple(sorted((source, target) for source, target in targets.items() if source != target)))

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __str__(self) -> str:
        """Return the text that :meth:`parse` takes; "" where it is empty."""
        return ",".join(f"{source.name.lower()}={target.name.lower()}" for source, target in self.pairs)

    @property
    def label(self) -> str:
        """Return the text for the driver."""
        return next((label for label, preset in PRESETS if preset == self), str(self))

    def __contains__(self, tag: int) -> bool:
        """Return whether this tag is rendered as another one."""
        return any(source == tag for source, _ in self.pairs)

    @cached_property
    def table(self) -> np.ndarray:
        """Return the tag that each tag is rendered as, u8 (256,)."""
        table: np.ndarray = np.arange(256, dtype=np.uint8)
        for source, target in self.pairs:
            table[source] = target
        return table


NO_REMAP = Remap()

#: The remaps that the window's key cycles through, with their labels.
PRESETS: tuple[tuple[str, Remap], ...] = tuple(
    (label, Remap.parse(text))
    for label, text in (
        ("buildings into trees", "building=vegetation,wall=vegetation,fence=vegetation"),
        ("trees into buildings", "vegetation=building"),
        ("streets into meadows", "road=terrain,road_line=terrain,sidewalk=terrain,ground=terrain"),
        ("no road markings", "road_line=road"),
    )
)


def next_remap(remap: Remap, own: Remap | None = None) -> Remap:
    """Return the remap after ``remap`` in the cycle of none, the user's ``own``, and :data:`PRESETS`."""
    order = list(dict.fromkeys((NO_REMAP, own or NO_REMAP, *(preset for _, preset in PRESETS))))
    return order[(order.index(remap) + 1) % len(order)] if remap in order else NO_REMAP
