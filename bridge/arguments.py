"""What the command lines of all processes share: errors of one line, and checked numbers."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

USAGE = 2  # exit code


class Parser(argparse.ArgumentParser):
    """Errors are one line: what is wrong and where the help is."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(USAGE)


def count(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def crowd(text: str) -> int:
    """How many of the town's own, 0 to 1000: more would find no room."""
    if count(text) > 1000:
        raise argparse.ArgumentTypeError(f"{text} are too many: at most 1000")
    return int(text)


def port(text: str) -> int:
    """A TCP port to listen on, 0 = any free one."""
    if count(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return int(text)
