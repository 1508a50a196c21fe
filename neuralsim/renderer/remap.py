"""Semantic editing: surfaces painted as something else than they are.

Wang et al. (Video-to-Video Synthesis, NeurIPS 2018) turned a street's buildings into trees so, by changing label maps.
Only the painter is told: instances, depth and motion stay, and recorded tags are the simulator's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bridge.tags import Tag, named


@dataclass(frozen=True)
class Remap:
    """What tags are painted as, all at once: ``buildings=vegetation`` and ``vegetation=buildings`` swap the two.

    Empty, and then false: everything as it is.
    """

    pairs: tuple[tuple[Tag, Tag], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Remap:
        """``TAG=TAG``, several separated by commas; "none" or nothing is empty. Raises ``ValueError``, one line."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        if words in ([], ["none"]):
            return cls()
        pairs = [word.partition("=")[::2] for word in words]
        wrong = next((word for word in words if word.count("=") != 1), "")
        if wrong:
            raise ValueError(f"{wrong!r} is not TAG=TAG, such as buildings=vegetation")
        return cls.of(pairs)

    @classmethod
    def of(cls, names: Mapping[str, str] | Iterable[tuple[str, str]]) -> Remap:
        """From names of tags. Raises ``ValueError``, one line, also where one tag is to become two."""
        given = names.items() if isinstance(names, Mapping) else names
        found: dict[Tag, Tag] = {}
        for name, other in given:
            source, target = named(name), named(other)
            if found.setdefault(source, target) != target:
                raise ValueError(
                    f"{source.name.lower()} cannot become {found[source].name.lower()} and {target.name.lower()}"
                )
        return cls(tuple(sorted((source, target) for source, target in found.items() if source != target)))

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __str__(self) -> str:
        """As :meth:`parse` takes it; "" where it is empty."""
        return ",".join(f"{source.name.lower()}={target.name.lower()}" for source, target in self.pairs)

    @property
    def words(self) -> str:
        """What a driver reads."""
        return next((words for words, edit in EDITS if edit == self), str(self))

    def __contains__(self, tag: int) -> bool:
        """Whether this tag is painted as another one."""
        return any(source == tag for source, _ in self.pairs)

    @cached_property
    def table(self) -> np.ndarray:
        """u8 (256,): tag -> what it is painted as."""
        table: np.ndarray = np.arange(256, dtype=np.uint8)
        for source, target in self.pairs:
            table[source] = target
        return table


NOTHING = Remap()

#: What the window's key goes through: (what it says, what it does).
EDITS: tuple[tuple[str, Remap], ...] = tuple(
    (words, Remap.parse(text))
    for words, text in (
        ("buildings into trees", "building=vegetation,wall=vegetation,fence=vegetation"),
        ("trees into buildings", "vegetation=building"),
        ("streets into meadows", "road=terrain,road_line=terrain,sidewalk=terrain,ground=terrain"),
        ("no road markings", "road_line=road"),
    )
)


def following(remap: Remap, own: Remap | None = None) -> Remap:
    """What comes after ``remap`` when a key goes through nothing, one's ``own``, and :data:`EDITS`."""
    order = list(dict.fromkeys((NOTHING, own or NOTHING, *(edit for _, edit in EDITS))))
    return order[(order.index(remap) + 1) % len(order)] if remap in order else NOTHING
