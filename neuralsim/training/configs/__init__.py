"""The training runs that come with this installation, by name."""

from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    """Return the names of the runs that come with this installation."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def find(text: str) -> Path:
    """Return the file of a shipped run by its name; any other text is taken as a path, without checking it."""
    return HERE / f"{text}.yaml" if text in names() else Path(text)
