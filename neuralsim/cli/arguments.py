"""Options and values that several commands share. Nothing heavy is imported before one of them is given."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class _Remaps(argparse.Action):
    """Gathers a :class:`neuralsim.renderer.remap.Remap` from all its mentions."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        from neuralsim.renderer.remap import Remap

        before = getattr(namespace, self.dest)
        try:
            setattr(namespace, self.dest, Remap.parse(f"{before},{values}" if before else str(values)))
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None


def scenario(text: str) -> Path:
    """A scenario file, or a shipped scenario's name."""
    from scenarios import library

    try:
        return library.find(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_model(parser: argparse._ActionsContainer, default: str) -> None:
    """Add ``--model``."""
    parser.add_argument(
        "--model", metavar="NAME", default=default, help="model that paints, or a folder with card.yaml"
    )


def add_runtime(parser: argparse._ActionsContainer, default: str) -> None:
    """Add ``--runtime``."""
    words = "what runs the model: openvino, onnxruntime, tensorrt, torch; auto takes the fastest"
    parser.add_argument("--runtime", metavar="NAME", default=default, help=words)


def add_style(parser: argparse._ActionsContainer, otherwise: str) -> None:
    """Add ``--style``, whose default is ``otherwise`` in words."""
    words = f"light, such as dusk; `neuralsim doctor` lists the models' (default: {otherwise})"
    parser.add_argument("--style", metavar="NAME", help=words)


def add_remap(parser: argparse._ActionsContainer, otherwise: str = "nothing") -> None:
    """Add ``--remap``, whose default is ``otherwise`` in words."""
    words = f"paint things as others, by CARLA's tags, such as buildings=vegetation (default: {otherwise})"
    parser.add_argument("--remap", metavar="TAG=TAG,...", action=_Remaps, help=words)
