"""An argument parser with one-line errors."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

USAGE = 2  # exit code


def unknown(kind: str, word: str, choices: Sequence[str], with_word: bool = True) -> str:
    """Return ``unknown KIND 'word'; did you mean ...?``, or a list of all ``choices`` if none is similar.

    ``with_word``: whether the message contains ``word``.
    """
    close = difflib.get_close_matches(word, choices, 1)
    advice = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(choices)}"
    return f"unknown {kind} {word!r}; {advice}" if with_word else f"unknown {kind}; {advice}"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line: what is wrong, what may have been meant, and where the help is."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse, and refuse unknown arguments here rather than in the main parser: a subparser knows its options."""
        values, rest = super().parse_known_args(args, namespace)
        if rest and rest[0].startswith("--"):
            public = [action.option_strings for action in self._actions if action.help != argparse.SUPPRESS]
            self.error(unknown("option", rest[0].partition("=")[0], [flag for flags in public for flag in flags]))
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return values, rest

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(USAGE)
