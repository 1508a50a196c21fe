"""What single steps after the network gain: variants of one image, and the table of their figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.clips import write_clip
from helpers.frames import street

from bridge.weather import FAIR_WEATHER
from neuralsim import cli
from neuralsim.evaluation import step_ablation
from neuralsim.evaluation.run import over_seeds
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.postprocessing import pipeline


@pytest.fixture(scope="module")
def renderer() -> NeuralRenderer:
    return NeuralRenderer(runtime="onnxruntime", size=(192, 96), threads=1, postprocess=())


def test_all_steps_are_what_a_renderer_does_and_none_is_what_the_network_gives(renderer: NeuralRenderer) -> None:
    frame = street()
    frame.weather = dict(FAIR_WEATHER)
    whole = NeuralRenderer(runtime="onnxruntime", size=(192, 96), threads=1)
    for each in (renderer, whole):
        each.follow(FAIR_WEATHER)
        each.reset()
    generated = renderer.generate(frame)
    times = step_ablation.Times()
    images = step_ablation.finished(renderer, generated, step_ablation.variants(), times)
    assert np.array_equal(images[step_ablation.ALL], whole.render(frame))
    assert np.array_equal(images[step_ablation.NONE], generated.rgb)
    assert times.medians().keys() == set(step_ablation.MEASURED)


def test_a_step_without_effect_shares_the_image_and_one_with_an_effect_does_not(renderer: NeuralRenderer) -> None:
    frame = street()
    frame.weather = dict(FAIR_WEATHER)
    renderer.follow(FAIR_WEATHER)
    renderer.reset()
    chosen = step_ablation.variants(("noise", "sky"))
    images = step_ablation.finished(renderer, renderer.generate(frame), chosen, step_ablation.Times())
    assert images["noise"] is images[step_ablation.ALL]  # by day
    assert not np.array_equal(images["sky"], images[step_ablation.ALL])


def test_gains_are_positive_where_a_figure_gets_worse_without_the_step() -> None:
    by_seed = [
        {
            "classes": {"all": {"mean": 0.6}, "sky": {"mean": mean}, "none": {"mean": 0.9}},
            "ms": {"sky": 2.0, "fog": 1.0},
        }
        for mean in (0.7, 0.8)
    ]
    half = {"all": 0.9, "sky": 0.8, "none": 1.0}
    flicker = {"all": 1.2, "sky": 1.1, "none": 1.0}
    results = {
        "classes": by_seed,
        "fidelity": {"camvid": {"first": half, "second": half}},
        "flicker": {"first": flicker},
    }
    sky, together = step_ablation.gains(results, ("sky",))
    assert (sky["step"], sky["reason"]) == ("sky", next(s.reason for s in pipeline.STEPS if s.name == "sky"))
    assert (sky["classes"], sky["classes_spread"]) == (pytest.approx(0.15), pytest.approx(0.05))
    assert sky["fidelity_camvid_first"] == pytest.approx(0.1)
    assert sky["flicker_first"] == pytest.approx(-0.1)  # it flickers more with the step
    assert (sky["ms"], together["ms"]) == (2.0, 3.0)
    text = step_ablation.table([sky, together])
    assert text.count("\n") == 4
    assert "+0.150 ± 0.050" in text


def test_figures_of_several_seeds_are_means_with_their_spread() -> None:
    mean, spread = over_seeds([{"a": {"b": 1.0, "n": 3, "c": None}}, {"a": {"b": 3.0, "n": 5, "c": 2.0}}])
    assert mean == {"a": {"b": 2.0, "n": 3, "c": None}}
    assert spread["a"]["b"] == 1.0
    assert spread["a"]["n"] is None
    assert over_seeds([{"b": 1.0}]) == ({"b": 1.0}, {"b": None})


@pytest.mark.slow  # most of a minute: every frame of four towns without each step
def test_the_command_writes_a_row_for_each_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "data", frames=2)
    real = f"camvid:{tmp_path / 'data'},camvid:{tmp_path / 'data'}"
    out = tmp_path / "out"
    arguments = ["--only", "steps", "--classes-real", real, "--classes-frames", "4", "--seeds", "3", "--threads", "1"]
    assert cli.main(["model", "evaluate", *arguments, "--runtime", "onnxruntime", "--out", str(out)]) == 0
    rows = json.loads((out / "figures.json").read_text())["steps"]["gains"]
    assert [row["step"] for row in rows] == [*step_ablation.MEASURED, "none"]
    assert "| sharpen |" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["1,x", "-1", "4,4", ""])
def test_seeds_are_different_numbers(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", "evaluate", "--seeds", text, "--only", "town", "--out", str(tmp_path)]) == 2
    assert "101,102,103" in capsys.readouterr().err


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(ValueError, match="no step 'glitter'; there are trails"):
        NeuralRenderer(postprocess=("sky", "glitter"))
