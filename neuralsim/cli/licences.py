"""``neuralsim doctor --licences``: whose terms hold for installed packages and the shipped models' weights."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterator
from typing import Any

from neuralsim import __version__, zoo

_MARKER = re.compile(r"extra\s*==")


def licences(say: Callable[[str], object]) -> None:
    """Tell, a line each: this project, what it needs (and what those need), as far as installed, and the models."""
    say(f"neuralsim {__version__}: MIT")
    for name in sorted(_needed("neuralsim"), key=str.lower):
        try:
            found = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:  # of another system, or of an extra
            continue
        say(f"{found['Name']} {found['Version']}: {_licence(found)}")
    for name in zoo.names():
        card = zoo.load(name)
        say(f"model {name}: {' '.join(card.licence.split()) or 'its card does not say'}")


def _licence(found: Any) -> str:
    """An SPDX expression where there is one, else what the package's classifiers or its first line say."""
    expression = found.get("License-Expression")
    if expression:
        return str(expression)
    listed = [
        one.rpartition("::")[2].strip() for one in found.get_all("Classifier") or () if one.startswith("License ::")
    ]
    text = (found.get("License") or "").strip().splitlines()
    return ", ".join(listed) or (text[0] if text else "not said by its metadata")


def _needed(root: str) -> Iterator[str]:
    """Distributions that an installed one needs, directly or not, without those of extras."""
    known: set[str] = set()
    waiting = [root]
    while waiting:
        try:
            requirements = importlib.metadata.requires(waiting.pop()) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in requirements:
            match = re.match(r"[\w.-]+", requirement)
            if match is None or _MARKER.search(requirement):
                continue
            name = re.sub(r"[-_.]+", "-", match[0]).lower()
            if name not in known:
                known.add(name)
                waiting.append(name)
                yield name
