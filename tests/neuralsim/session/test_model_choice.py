"""The choice of the model: `auto` takes the better one if it runs in real time, `--quality best` offline."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.frames import street

from neuralsim import zoo
from neuralsim.base.shared_options import BEST_MODEL, DEFAULT_MODEL, model_of
from neuralsim.offline.options import RenderOptions
from neuralsim.renderer import neural_renderer
from neuralsim.runtimes import RuntimeUnavailable
from neuralsim.session import render_loop, renderer_loading
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.options import AUTO, DriveOptions
from neuralsim.session.tag_renderer import TagRenderer


class Renderer:
    """Stands in for a loaded model; rendering takes ``seconds``."""

    seconds, refused = 0.02, False

    def __init__(self, model: str, *_: object, **__: object) -> None:
        if self.refused and model == zoo.BEST:
            raise RuntimeUnavailable("too little memory")
        self.model = model

    def seconds_per_step(self) -> float:
        return self.seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with many cores, with both models available."""
    monkeypatch.setattr(neural_renderer, "NeuralRenderer", Renderer)
    monkeypatch.setattr(renderer_loading, "cores", lambda: renderer_loading.STRONG)
    monkeypatch.setattr(zoo, "names", lambda: [DEFAULT_MODEL, BEST_MODEL])
    return monkeypatch


def chosen_model(model: str = AUTO, size: tuple[int, int] | None = (512, 256)) -> str:
    return renderer_loading.make_renderer(model, "auto", size).model


def test_auto_takes_the_best_if_it_runs_in_real_time(machine: pytest.MonkeyPatch) -> None:
    assert DriveOptions().model == AUTO
    assert chosen_model() == zoo.BEST
    assert chosen_model(DEFAULT_MODEL) == DEFAULT_MODEL
    assert chosen_model(size=None) == DEFAULT_MODEL, "no size to measure with"
    machine.setattr(Renderer, "seconds", 0.04)
    assert chosen_model() == DEFAULT_MODEL
    machine.setattr(Renderer, "seconds", 0.02)
    machine.setattr(Renderer, "refused", True)
    assert chosen_model() == DEFAULT_MODEL


def test_auto_does_not_try_on_few_cores_without_a_gpu(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(renderer_loading, "cores", lambda: renderer_loading.STRONG - 1)
    assert chosen_model() == DEFAULT_MODEL


@pytest.mark.parametrize(("requested", "expected"), [("my/folder", "my/folder"), (AUTO, zoo.BEST)])
def test_further_cameras_are_chosen_model_the_same_model(
    requested: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name in a folder's card may differ from its path."""
    monkeypatch.setattr(render_loop, "make_renderer", lambda model, *_: model)
    session = DriveSession(DriveOptions(model=requested))
    session.model = zoo.BEST if requested == AUTO else "a name"
    assert session._renderer_for("rear", street(), TagRenderer()) == expected


def test_the_runtimes_of_all_models_are_measured_before_a_drive_begins(machine: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    machine.setattr(neural_renderer, "needs_measuring", lambda model, *_: bool(measured.append(model)))
    assert not renderer_loading.RendererLoader(DriveOptions(), None, lambda *_: None).measures()
    assert measured == [zoo.BEST, zoo.DEFAULT]


def test_quality_best_chooses_the_model(tmp_path: Path) -> None:
    assert (DEFAULT_MODEL, BEST_MODEL) == (zoo.DEFAULT, zoo.BEST)
    assert model_of(DEFAULT_MODEL, "best") == BEST_MODEL
    assert model_of("my/model", "fast") == "my/model"
    RenderOptions(labels=tmp_path, classes="camvid", out=tmp_path, quality="best").check()
    with pytest.raises(ValueError, match="cannot go with --model my/model"):
        RenderOptions(labels=tmp_path, classes="camvid", out=tmp_path, quality="best", model="my/model").check()
