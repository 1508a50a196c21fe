"""``neuralsim model train``: what it says, how it goes on, and how it is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="training needs the train extra")

from helpers.training import picture  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from neuralsim import cli  # noqa: E402
from neuralsim.models.classes import Channel  # noqa: E402
from neuralsim.training.config import load_stages, nested  # noqa: E402
from neuralsim.training.trainer import Trainer  # noqa: E402


def write_run(folder: Path, **settings: object) -> Path:
    """A plain data set of three pictures in CARLA's tags, and a run over it."""
    tags = {Channel.ROAD: 1, Channel.BUILDING: 3, Channel.SKY: 11, Channel.VEHICLE: 14}
    for seed in range(3):
        p = picture(seed)
        label = np.select([p.label == channel for channel in tags], list(tags.values())).astype(np.uint8)
        for kind, plane in (("images", p.image[..., ::-1]), ("labels", label), ("instances", p.instance)):
            (folder / "own" / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / "own" / kind / f"{p.name}.png"), plane)
    config = {"out": str(folder / "run"), "width": 64, "height": 32, "steps": 2, "minutes": 5.0}
    config["data"] = [{"root": str(folder / "own"), "classes": "carla"}]
    (folder / "run.yaml").write_text(yaml.safe_dump(nested(config | settings)))
    return folder / "run.yaml"


@pytest.mark.slow
def test_train_says_nothing_on_stdout_and_goes_on_where_it_stopped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    assert cli.main(["model", "train", str(write_run(tmp_path, steps=1))]) == 0
    (tmp_path / "own/images/p1.png").write_bytes(b"gone")
    assert cli.main(["model", "train", str(write_run(tmp_path, batch=8))]) == 0
    assert capfd.readouterr().out == ""
    with safe_open(tmp_path / "run/last.safetensors", "pt") as file:
        assert file.metadata()["step"] == "2"


@pytest.mark.slow
def test_stages_run_one_after_another_and_resume_in_the_middle_of_any(tmp_path: Path) -> None:
    """A run that is interrupted in each of its stages ends with the weights of an unbroken one."""
    torch.set_num_threads(1)
    config = write_run(tmp_path)
    common = yaml.safe_load(config.read_text())
    stages = [{"name": "a", "steps": 2}, {"steps": 2, "losses": {"patches": 1.0}, "optimiser": {"rate": 1e-3}}]

    def run(name: str, *parts: int) -> dict[str, torch.Tensor]:
        whole = common | {"output": {"folder": str(tmp_path / name), "minutes": 5.0}}
        for first, second in (*zip(parts[::2], parts[1::2], strict=True), (2, 2)):
            steps = [stage | {"steps": count} for stage, count in zip(stages, (first, second), strict=True)]
            config.write_text(yaml.safe_dump(whole | {"stages": [each for each in steps if each["steps"]]}))
            assert cli.main(["model", "train", str(config)]) == 0
        return load_file(tmp_path / name / "last.safetensors")

    whole, parted = run("whole"), run("parted", 1, 0, 2, 1)
    assert whole.keys() == parted.keys()
    assert all(torch.equal(value, parted[name]) for name, value in whole.items())
    with safe_open(tmp_path / "whole/last.safetensors", "pt") as file:
        assert (file.metadata()["stage"], file.metadata()["step"]) == ("1", "2")
    first = load_stages(config)[0]
    config.write_text(yaml.safe_dump(common | {"output": {"folder": str(tmp_path / "whole")}}))
    assert cli.main(["model", "train", str(config)]) == 1, "the state is of a second stage, which this config lacks"
    assert first.name == "a"


SIGNALS = """
import signal
from neuralsim.training.training_loop import interruptible
with interruptible(twice=600.0) as asked:
    assert not asked()
    signal.raise_signal(signal.SIGINT)
    assert asked()
    signal.raise_signal(signal.SIGINT)
with interruptible(twice=0.0) as asked:
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert asked()
    try:
        signal.raise_signal(signal.SIGINT)
        raise SystemExit(1)
    except KeyboardInterrupt:
        pass
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
"""


@pytest.mark.slow
def test_ctrl_c_and_sigterm_ask_and_only_a_later_ctrl_c_interrupts() -> None:
    """In a process of its own: one in which OpenVINO has generated was seen to die of the first signal."""
    done = subprocess.run([sys.executable, "-c", SIGNALS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_an_interrupted_run_loses_nothing(tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=10**6, save_every=10**6)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(config)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "2\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    *_, last = (int(step) for step in ["2", *out.split()])
    assert process.returncode == 1
    reported = f"neuralsim: stopped at step {last}, which is saved in {tmp_path}/run: the same command continues"
    assert err.splitlines()[-1] == reported
    assert "Traceback" not in err
    with safe_open(tmp_path / "run/last.safetensors", "pt") as file:
        assert file.metadata()["step"] == str(last)


INTERRUPTED = """
import sys
import torch
from neuralsim import cli
from neuralsim.training import training_board

torch.set_num_threads(1)
training_board.Board.report = lambda self, step, losses: step > 1 and print(step, flush=True)
sys.exit(cli.main(["model", "train", sys.argv[1]]))
"""


def test_check_reads_every_picture_and_fails_when_one_is_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_run(tmp_path)
    assert cli.main(["model", "train", str(config), "--check"]) == 0
    assert capsys.readouterr().out == "own: 3 labelled images\n"
    (tmp_path / "own/images/p1.png").write_bytes(b"gone")
    assert cli.main(["model", "train", str(config), "--check"]) == 1
    done = capsys.readouterr()
    assert done.out.endswith("1 of 3 images left out\n")
    assert f"{tmp_path}/own/images/p1.png: damaged" in done.err


def test_what_cannot_be_exported_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = write_run(tmp_path)
    export = ["model", "export", str(config), "--out", str(tmp_path / "model"), "--licence", "none"]
    assert cli.main(export) == 1
    said = f"neuralsim: {tmp_path}/run: no trained state in it; `neuralsim model train` first\n"
    assert capfd.readouterr().err == said
    Trainer(load_stages(config)[0]).save(tmp_path / "run")
    for path in (tmp_path / "own/labels").iterdir():
        cv2.imwrite(str(path), np.ones((96, 160), np.uint8))  # road alone
    assert cli.main(export) == 1
    reported = capfd.readouterr()
    assert reported.out == ""
    assert reported.err.startswith("neuralsim: too few images to take colours from")
    assert reported.err.count("\n") == 1
