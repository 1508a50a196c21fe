"""How a command ends: exit codes, and what is said of a wrong command line."""

from __future__ import annotations

import sys

from bridge.process.arguments import USAGE

DONE, FAILED = 0, 1


def usage(line: str, command: str = "drive") -> int:
    """Say what is wrong with a command line; the exit code."""
    print(f"neuralsim {command}: {line}", file=sys.stderr)
    return USAGE
