"""``neuralsim ...``: the command line, one file for each group of commands."""

from neuralsim.cli.app import main

__all__ = ["main"]
