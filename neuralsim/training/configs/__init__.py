"""The training runs that come with this installation, by name."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    """The runs that came with this installation."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def find(text: str) -> Path:
    """The file of a shipped run by its name; any other text is a path. Whether it leads to a file is not asked."""
    return HERE / f"{text}.yaml" if text in names() else Path(text)
