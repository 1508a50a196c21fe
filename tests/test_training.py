"""Training on a few made-up pictures: what the painter is told, a step, and going on after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from neuralsim.models.classes import Channel  # noqa: E402
from neuralsim.models.generator import PainterConfig  # noqa: E402
from neuralsim.training import data  # noqa: E402
from neuralsim.training.loop import TrainConfig, Trainer, collate, train  # noqa: E402

SMALL = PainterConfig(encoder=(16,) * 5, decoder=(16,) * 5, blocks=((2,),) * 5)


def picture(seed: int = 0) -> data.Picture:
    """A street of flat colours with two cars side by side and a window in the wall."""
    rng = np.random.default_rng(seed)
    label = np.full((96, 160), Channel.ROAD, np.uint8)
    label[:60] = Channel.BUILDING
    label[:20] = Channel.SKY
    label[50:75, 30:90] = Channel.VEHICLE
    image = np.zeros((96, 160, 3), np.uint8)
    for channel, colour in ((Channel.ROAD, 90), (Channel.BUILDING, 140), (Channel.SKY, 240)):
        image[label == channel] = colour
    image[28:40, 120:135] = 30
    image[50:75, 30:60] = (200, 20, 20)
    image[50:75, 60:90] = (20, 20, 200)
    instance = np.zeros(label.shape, np.uint16)
    instance[50:75, 30:60], instance[50:75, 60:90] = 5, 6
    noisy = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    return data.Picture(f"p{seed}", noisy, label, instance)


def test_tint_tells_touching_cars_apart_and_edges_run_between_them() -> None:
    p = picture()
    parts = data.objects(p.label, p.instance)
    tint = data.tint(p.image, p.label, parts)
    assert tint[60, 40, 0] > tint[60, 80, 0] + 0.5
    assert tint[60, 80, 2] > tint[60, 40, 2] + 0.5
    edge = data.edges(p.label, parts)
    assert edge[60, 58:62].any()
    assert not edge[60, 35:55].any()


def test_sketch_shows_the_window_dark_and_stays_a_hint() -> None:
    p = picture()
    parts = data.objects(p.label, p.instance)
    tint = data.tint(p.image, p.label, parts)
    windows, walls = [], []
    for seed in range(20):
        sketch = data.sketch(p.image, p.label, tint, np.random.default_rng(seed))
        assert np.abs(sketch).max() <= 1.0
        windows.append(sketch[30:38, 122:133].mean())
        walls.append(sketch[30:38, 95:115].mean())
    assert np.mean(windows) < np.mean(walls) - 0.3
    assert min(np.abs(windows)) == 0.0, "it must be withheld now and then"


def test_markings_are_found_inside_the_road_only() -> None:
    p = picture()
    p.image[80:96, 78:82] = 230
    marked = data.mark_road_lines(p.image, p.label)
    assert (marked[84:92, 79:81] == Channel.ROAD_LINE).all()
    assert (marked[:60] == p.label[:60]).all()


def test_resume_after_a_kill_gives_the_same_weights(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    pictures = [picture(seed) for seed in range(3)]
    batch = collate([data.example(pictures[i], 64, 32, np.random.default_rng(i)) for i in range(2)])

    def run(stops: tuple[int, ...]) -> dict[str, torch.Tensor]:
        folder = tmp_path / "-".join(map(str, stops))
        for index, stop in enumerate(stops):
            trainer = Trainer(TrainConfig(out=str(folder), warmup=1), SMALL)
            if index:
                trainer.resume(folder)
            while trainer.step < stop:
                trainer.real_step(*batch)
            trainer.save(folder)
        return trainer.painter.state_dict()

    whole, parted = run((3,)), run((1, 3))
    assert all(torch.equal(whole[key], parted[key]) for key in whole)


def test_a_run_of_another_architecture_is_refused(tmp_path: Path) -> None:
    Trainer(TrainConfig(out=str(tmp_path)), SMALL).save(tmp_path)
    other = Trainer(TrainConfig(out=str(tmp_path)), replace(SMALL, decoder=(24,) * 5))
    with pytest.raises(ValueError, match="architecture"):
        other.resume(tmp_path)


def test_a_minute_of_training_paints_closer_to_the_pictures(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config = TrainConfig(out=str(tmp_path), width=64, height=32, steps=60, warmup=4, rate=2e-3)
    trainer = Trainer(config, SMALL)
    label, tint, detail, image = collate([data.example(picture(), 64, 32, np.random.default_rng(n)) for n in range(8)])

    def error() -> float:
        with torch.no_grad():
            return float((trainer.painter(label, tint, detail) - image).abs().mean())

    before, steps = error(), []
    train(trainer, [picture()], np.ones(1), lambda step, losses: steps.append(step))
    assert error() < 0.8 * before
    assert steps == list(range(1, 61))
    assert (tmp_path / "last.safetensors").exists()
