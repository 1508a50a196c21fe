"""``neuralsim ...``: the command line, one file for each group of commands."""

from neuralsim.cli.app import main, run_process

__all__ = ["main", "run_process"]
