"""What the command lines of all processes share: errors of one line, help, and checked values."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

USAGE = 2  # exit code


class Parser(argparse.ArgumentParser):
    """Errors are one line: what is wrong and where the help is."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Nothing is left over: a command says so itself, since it knows what it has."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(USAGE)


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not the ones that say nothing, nor where the help has said it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default is False or action.default in (None, "", ()) or "(default: " in (action.help or "")
        return action.help if silent else super()._get_help_string(action)


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


def size(text: str) -> tuple[int, int]:
    """``WxH`` in pixels, each 32 .. 4096."""
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if not match or not all(32 <= int(side) <= 4096 for side in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT with 32 to 4096 pixels each, such as 512x256")
    return int(match[1]), int(match[2])


def address(text: str) -> str:
    """``HOST:PORT``."""
    match = re.fullmatch(r"[^\s:/]+:(\d{1,5})", text)
    if not match or not 0 < int(match[1]) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as localhost:2000")
    return text


def endpoint(text: str) -> str:
    """A ZeroMQ endpoint to connect to."""
    match = re.fullmatch(r"tcp://\S+:(\d{1,5})|ipc://\S+", text)
    if not match or (match[1] and not 0 < int(match[1]) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not an endpoint, such as tcp://192.168.1.5:5555")
    return text


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    if count(text) == 0:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return int(text)


def rate(text: str) -> float:
    """Frames per second, 1 .. 240."""
    return _within(text, 1.0, 240.0, "a rate from 1 to 240 per second")


def speed(text: str) -> float:
    """Times real time, 0.1 .. 8."""
    return _within(text, 0.1, 8.0, "0.1 to 8")


def seconds(text: str) -> float:
    """Seconds, 0 or more."""
    return _within(text, 0.0, 1e6, "a number of seconds")


def fov(text: str) -> float:
    """Degrees, 10 .. 150."""
    return _within(text, 10.0, 150.0, "an angle from 10 to 150 degrees")


def _within(text: str, least: float, most: float, words: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {words}")
    return value


def listed(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """A comma-separated list of words out of ``known``, each once, in that order."""

    def words(text: str) -> tuple[str, ...]:
        given = text.split(",")
        unknown = [word for word in given if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown {unknown[0]!r}; there are {', '.join(known)}")
        return tuple(word for word in known if word in given)

    return words


def suffixed(*suffixes: str) -> Callable[[str], Path]:
    """A path that ends with one of ``suffixes``."""

    def path(text: str) -> Path:
        if Path(text).suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"{text!r} must end with {' or '.join(suffixes)}")
        return Path(text)

    return path
