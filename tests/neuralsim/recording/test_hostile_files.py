"""Hostile files: each is rejected in one line, costs little, and nothing is written except below ``--out``."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hostile.attack import Attack
from hostile.corpus import attacks
from hostile.run import Outcome, run

SECONDS, MEMORY = 10.0, 1000.0  # and MB, of any command
_PROGRESS = re.compile(r"\[|waiting for:|\d+ frames ")
ESCAPED = Path(tempfile.gettempdir()) / "neuralsim-hostile"  # where attacks with absolute paths want to write
ATTACKS = list(attacks())
#: Of recordings, one command for each way into a file is enough for every day.
OFTEN = ("record", "recording export", "drive", "render", "images flow")


def _commands(attack: Attack, often: bool) -> list[str]:
    first = tuple(f"{each} " for each in OFTEN)
    return [line for line in attack.commands if not often or line.startswith(first)]


def _try(attack: Attack, folder: Path, often: bool) -> None:
    labels, out = folder / "labels", folder / "out"
    labels.mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(labels / f"{name}.png"), np.full((64, 96), 3, np.uint8))
    file = folder / f"file{attack.suffix}"
    attack.write(file)
    ESCAPED.mkdir(exist_ok=True)
    before = set(folder.rglob("*"))
    for command in _commands(attack, often):
        _check(run(command.format(file=file, out=out, labels=labels)), attack, command)
        assert [path for path in set(folder.rglob("*")) - before if not path.is_relative_to(out)] == [], command
        assert list(ESCAPED.iterdir()) == [], command
    assert not (folder.parent / "escaped").exists()
    assert not (folder.parent / "escaped.xodr").exists()


def _check(outcome: Outcome, attack: Attack, command: str) -> None:
    # of progress, on a machine that is slow today, there may be more
    lines = [line for line in outcome.lines if not _PROGRESS.match(line)]
    told = f"{command}: {outcome.code}, {outcome.seconds:.1f} s, {outcome.memory:.0f} MB, {lines}"
    assert outcome.code in ((1,) if attack.refused else (0, 1)), told
    assert len(lines) == outcome.code, told
    assert outcome.memory < MEMORY, told
    assert outcome.seconds < SECONDS, told


#: A few of every kind are tried every day, among them those that want to write elsewhere.
DAILY = {attack.name for attack in ATTACKS[::24]} | {
    attack.name for attack in ATTACKS if attack.name.endswith(("absolute-topic", "climbing-topic", "scenario-name"))
}


@pytest.mark.parametrize(
    "attack", [pytest.param(a, marks=() if a.name in DAILY else pytest.mark.slow, id=a.name) for a in ATTACKS]
)
def test_hostile_file_is_rejected_in_one_line(attack: Attack, tmp_path: Path) -> None:
    _try(attack, tmp_path, often=True)


@pytest.mark.slow
@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.suffix == ".mcap"], ids=lambda attack: attack.name)
def test_hostile_recording_is_rejected_by_every_command(attack: Attack, tmp_path: Path) -> None:
    _try(attack, tmp_path, often=False)
