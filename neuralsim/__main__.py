"""``python -m neuralsim``: the same as the ``neuralsim`` command."""

from neuralsim.cli import run_process

run_process()
