"""Options that several commands share because they paint. Nothing heavy is imported before one of them is given."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


class _Remaps(argparse.Action):
    """Gathers a :class:`neuralsim.remap.Remap` from all its mentions."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        from neuralsim.remap import Remap

        before = getattr(namespace, self.dest)
        try:
            setattr(namespace, self.dest, Remap.parse(f"{before},{values}" if before else str(values)))
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None


def add_style(parser: argparse._ActionsContainer, otherwise: str) -> None:
    """Add ``--style``, whose default is ``otherwise`` in words."""
    parser.add_argument("--style", metavar="NAME", help=f"one of the model's styles (default: {otherwise})")


def add_remap(parser: argparse._ActionsContainer, otherwise: str = "") -> None:
    """Add ``--remap``, whose default is ``otherwise`` in words."""
    parser.add_argument(
        "--remap",
        metavar="TAG=TAG,...",
        action=_Remaps,
        help="paint things as others, such as buildings=vegetation" + (f" (default: {otherwise})" if otherwise else ""),
    )
