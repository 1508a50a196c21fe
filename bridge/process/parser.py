"""Command lines whose errors are one line."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

USAGE = 2  # exit code


def unknown(what: str, word: str, choices: Sequence[str], named: bool = True) -> str:
    """``unknown WHAT 'word'; did you mean ...?``, or all ``choices`` where none is near; ``named``: with the word."""
    close = difflib.get_close_matches(word, choices, 1)
    advice = f"did you mean {close[0]}?" if close else f"known are {', '.join(choices)}"
    return f"unknown {what} {word!r}; {advice}" if named else f"unknown {what}; {advice}"


class Parser(argparse.ArgumentParser):
    """Errors are one line: what is wrong, what may have been meant, and where the help is."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Nothing is left over: a command says so itself, since it knows what it has."""
        found, over = super().parse_known_args(args, namespace)
        if over and over[0].startswith("--"):
            shown = [action.option_strings for action in self._actions if action.help != argparse.SUPPRESS]
            self.error(unknown("option", over[0].partition("=")[0], [flag for flags in shown for flag in flags]))
        if over:
            self.error(f"unrecognized arguments: {' '.join(over)}")
        return found, over

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(USAGE)
