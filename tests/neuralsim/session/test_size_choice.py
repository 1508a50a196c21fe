"""``--size auto``: measured once, the same afterwards, and nothing is measured where more cannot be in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.process.options import parse
from bridge.size import Size
from neuralsim import zoo
from neuralsim.drive.settings import CockpitSettings
from neuralsim.runtimes import autotune, candidates
from neuralsim.session import size_choice
from neuralsim.session.options import DriveOptions

CARLA = "127.0.0.1:2000"


class Measured:
    """Stands in for measuring: seconds of a step at 512x256 by model, four times as many for four times the pixels."""

    def __init__(self, patch: pytest.MonkeyPatch, cores: int, on_gpu: bool, **seconds: float) -> None:
        self.calls: list[tuple[str, Size]] = []
        self._seconds = {name.replace("_", "-"): value for name, value in seconds.items()}
        patch.setattr(size_choice.machine, "cores", lambda: cores)
        patch.setattr(candidates, "on_gpu", lambda *_: on_gpu)
        patch.setattr(size_choice, "_seconds", self)
        patch.setattr(autotune, "disturbance", lambda samples=(): "")

    def __call__(self, model: str, runtime: str, size: Size) -> float:
        self.calls.append((model, size))
        return self._seconds[model] * size.pixels / (512 * 256)


def resolved(*arguments: str) -> tuple[Size, str, str]:
    options, line = size_choice.resolve(parse(DriveOptions, list(arguments), "x", "y"))
    assert type(options.size) is Size
    return options.size, options.model, line


@pytest.mark.parametrize(
    ("seconds", "size", "words"),
    [
        (0.012, (512, 256), "the most that holds 30"),
        (0.024, (448, 224), "the most that holds 30"),
        (0.034, (384, 192), "the most that holds 30"),
        (0.200, (384, 192), "out of reach here"),
    ],
)
def test_two_cores_get_at_most_the_usual_size_and_older_ones_less(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, size: tuple[int, int], words: str
) -> None:
    measured = Measured(monkeypatch, 2, False, street_rt=seconds)
    chosen, model, line = resolved()
    assert (chosen, model) == (size, zoo.DEFAULT)
    assert words in line
    assert "\n" not in line
    assert {name for name, _ in measured.calls} == {zoo.DEFAULT}
    count = len(measured.calls)
    times = 1 if size == (512, 256) else 2  # a small size is measured again by the second drive
    for _ in range(3):
        assert resolved() == (chosen, model, line)
    assert len(measured.calls) == times * count, "remembered"


@pytest.mark.parametrize(("second", "size"), [(0.012, (512, 256)), (0.2, (448, 224))])
def test_the_larger_size_of_the_first_two_drives_is_kept_where_the_first_is_small(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, second: float, size: tuple[int, int]
) -> None:
    Measured(monkeypatch, 2, False, street_rt=0.024)
    assert resolved()[0] == (448, 224)
    Measured(monkeypatch, 2, False, street_rt=second)
    chosen = resolved()
    assert chosen[0] == size
    measured = Measured(monkeypatch, 2, False, street_rt=0.03)
    assert resolved() == chosen
    assert not measured.calls


def test_a_busy_old_machine_keeps_the_usual_size(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Measured(monkeypatch, 2, False, street_rt=0.04)
    monkeypatch.setattr(autotune, "disturbance", lambda samples=(): "load 9.0 on 2 cores")
    size, model, line = resolved()
    assert (size, model) == ((512, 256), zoo.DEFAULT)
    assert "out of reach here" in line


def test_a_better_model_by_name_keeps_the_usual_size(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Measured(monkeypatch, 2, False, street=0.2)
    size, model, line = resolved("--model", zoo.BEST)
    assert (size, model, measured.calls) == ((512, 256), zoo.BEST, [])
    assert "2 cores" in line


@pytest.mark.parametrize(
    ("cores", "on_gpu", "seconds", "carla", "size", "model"),
    [
        (8, False, {"street_rt": 0.005}, False, (1024, 512), zoo.DEFAULT),
        (8, False, {"street_rt": 0.009}, False, (512, 256), zoo.DEFAULT),
        (8, False, {"street_rt": 0.04}, False, (384, 192), zoo.DEFAULT),
        (32, False, {"street_rt": 0.003, "street": 0.02}, False, (1024, 512), zoo.DEFAULT),
        (16, True, {"street_rt": 0.001, "street": 0.005}, False, (1024, 512), zoo.BEST),
        (16, True, {"street_guided": 0.001}, True, (2048, 1024), zoo.GUIDED),
        (16, True, {"street_guided": 0.005}, True, (1024, 512), zoo.GUIDED),
        (2, True, {"street_rt": 0.001, "street": 0.002}, False, (1024, 512), zoo.BEST),
    ],
)
def test_the_largest_size_in_time_is_chosen_and_then_the_better_model(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, cores: int, on_gpu: bool, seconds: dict[str, float],
    carla: bool, size: tuple[int, int], model: str,
) -> None:  # fmt: skip
    measured = Measured(monkeypatch, cores, on_gpu, **seconds)
    arguments = ("--carla", CARLA) if carla else ()
    chosen = resolved(*arguments)
    assert chosen[:2] == (size, model)
    assert "30 frames a second" in chosen[2]
    count = len(measured.calls)
    times = 1 if chosen[0].pixels >= 512 * 256 else 2
    for _ in range(3):
        assert resolved(*arguments) == chosen
    assert len(measured.calls) == times * count, "remembered"
    monkeypatch.setattr(size_choice.machine, "cpu", lambda: ("another processor", frozenset()))
    resolved(*arguments)
    assert len(measured.calls) == (times + 1) * count, "another machine is measured"


def test_a_busy_machine_is_measured_again_and_doctor_forgets(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Measured(monkeypatch, 8, False, street_rt=0.005, street=0.05)
    monkeypatch.setattr(autotune, "disturbance", lambda samples=(): "load 9.0 on 8 cores")
    resolved()
    count = len(measured.calls)
    monkeypatch.setattr(autotune, "disturbance", lambda samples=(): "")
    for times in (2, 2):
        resolved()
        assert len(measured.calls) == times * count
    size_choice.forget()
    resolved()
    assert len(measured.calls) == 3 * count


def test_what_was_requested_is_kept(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Measured(monkeypatch, 8, False, street_rt=0.005, street=0.006)
    assert resolved("--size", "300x200") == ((300, 200), "auto", "")
    assert resolved("--size", "auto", "--model", zoo.BEST)[:2] != ((512, 256), "auto")
    count = len(measured.calls)
    for arguments in (
        ("--connect", "tcp://127.0.0.1:5600"),
        ("--headless",),
        ("--model", "tags"),
        ("--show", "1024x512"),
    ):
        size, _, line = resolved(*arguments)
        assert (size, line) == ((512, 256), "")
    assert len(measured.calls) == count


def test_upscaling_is_not_offered_with_the_model_whose_windows_leave_seams() -> None:
    with pytest.raises(ValueError, match="upscaling with street leaves seams"):
        DriveOptions(model=zoo.BEST, size="512x256", show="1024x512").check()
    DriveOptions(model=zoo.BEST, size="512x256", show="512x256").check()
    assert CockpitSettings(upscaling=True).applied(DriveOptions()).show == (1024, 512)
    assert CockpitSettings(upscaling=True, model=zoo.BEST).applied(DriveOptions()).show is None


def test_a_child_process_is_given_a_size_in_pixels() -> None:
    assert str(DriveOptions().size) == "auto"
    assert str(DriveOptions().shown) == "512x256"
    assert type(DriveOptions().shown) is Size


def test_odd_sides_are_rounded_up_and_that_is_said(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]):
    options = size_choice.rounded(DriveOptions(size="511x255", show="1024x511"))
    assert (options.size, options.show) == ((512, 256), (1024, 512))
    said = caplog.text + capfd.readouterr().err
    assert "--size 511x255 is rounded to 512x256" in said
    assert "--show 1024x511 is rounded to 1024x512" in said
    even = DriveOptions()
    assert size_choice.rounded(even) is even
