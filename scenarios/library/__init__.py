"""The shipped scenarios, by name."""

import difflib
from pathlib import Path

HERE = Path(__file__).parent
SUFFIXES = (".yaml", ".xosc")


def names() -> list[str]:
    """Return the names of the shipped scenarios."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def find(text: str) -> Path:
    """Return the file for a path that ends with .yaml or .xosc, or for the bare name of a shipped scenario.

    Raises ``ValueError``, one line, for any other text. Does not check whether the file exists.
    """
    if Path(text).suffix.lower() in SUFFIXES:
        return Path(text)
    known = names()
    if text in known:
        return HERE / f"{text}.yaml"
    close = difflib.get_close_matches(text, known, 1)
    help_ = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    raise ValueError(f"{text!r} must end with {' or '.join(SUFFIXES)} or name a shipped scenario; {help_}")
