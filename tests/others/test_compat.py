"""``make compat`` lists folders of other people's files, runs each by its command and shows how it ended."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import numpy as np
import pytest

from neuralsim.imaging.image_files import write_png
from tools import compat


def test_every_file_of_the_folders_is_run_and_its_end_and_last_image_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("maps/deep/a.xodr", "maps/b.xodr", "scenarios/c.xosc", "labels/kitti/d.png", "labels/notes/e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    folders = {kind: tmp_path / kind for kind in ("maps", "scenarios", "labels")}
    jobs = compat.jobs_of(argparse.Namespace(**folders))
    assert [(file.name, words[0]) for file, words in jobs] == [
        ("b.xodr", "drive"),
        ("a.xodr", "drive"),
        ("c.xosc", "record"),
        ("kitti", "render"),
    ]

    def fake(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        out = Path(command[command.index("--out") + 1])
        write_png(out / "image.png", np.full((2, 2, 3), 7, np.uint8))
        is_bad = command[-1].endswith(".xosc")
        return subprocess.CompletedProcess(command, int(is_bad), "", "one\nthe reason\n" if is_bad else "")

    monkeypatch.setattr(compat.subprocess, "run", fake)
    results = [compat.run(job, number, tmp_path / "out") for number, job in enumerate(jobs[2:])]
    lines = compat.table(results).splitlines()
    assert lines[0] == "1 of 2 run."
    assert lines[4].startswith("| c.xosc | the reason |")
    assert lines[5].startswith("| kitti | well |")
    assert "![](001.png)" in lines[5]
    assert (tmp_path / "out" / "001.png").is_file()
