"""Studies that the evaluation rests on, run from a checkout: ``python -m research.perception``. The wheel has none.

A study that lacks a package ends with one line that names the package and the command that installs it.
"""

from __future__ import annotations

import sys
from types import TracebackType


def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Report a missing package in one line, any other error with its traceback."""
    if not isinstance(error, ModuleNotFoundError):
        sys.__excepthook__(kind, error, trace)
    elif (error.name or "").partition(".")[0] in ("bridge", "neuralsim"):
        print(f"research: {error}: run it from the root of a checkout, after `pip install -e .`", file=sys.stderr)
    else:
        from neuralsim.base.extras import missing

        print(f"research: {missing(error, 'train')}", file=sys.stderr)


if sys.argv[:1] == ["-m"]:  # this is `python -m research.STUDY`
    sys.excepthook = explain
