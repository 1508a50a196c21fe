"""Training on synthetic images and frames of the town: conditioning, steps, resuming after a kill."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from helpers.training import SMALL, SyntheticSource, equal, picture, run_config, tiny  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from neuralsim.models.classes import Channel  # noqa: E402
from neuralsim.models.input_planes import Surface  # noqa: E402
from neuralsim.town.town_drive import TownDrive  # noqa: E402
from neuralsim.training.checkpoint import about  # noqa: E402
from neuralsim.training.config import FLAT, Source, TrainConfig  # noqa: E402
from neuralsim.training.data import conditioning  # noqa: E402
from neuralsim.training.data.datasets import Pictures, find  # noqa: E402
from neuralsim.training.data.palette import palettes, styles  # noqa: E402
from neuralsim.training.data.simulated_pairs import drive_pairs  # noqa: E402
from neuralsim.training.losses import feature_distance  # noqa: E402
from neuralsim.training.run import load_generator  # noqa: E402
from neuralsim.training.tensors import collate  # noqa: E402
from neuralsim.training.trainer import Trainer  # noqa: E402
from neuralsim.training.training_board import Board  # noqa: E402
from neuralsim.training.training_loop import train  # noqa: E402


def test_tint_tells_touching_cars_apart_and_edges_run_between_them() -> None:
    p = picture()
    parts = conditioning.objects(p.label, p.instance)
    tint = conditioning.tint(p.image, p.label, parts)
    assert tint[60, 40, 0] > tint[60, 80, 0] + 0.5
    assert tint[60, 80, 2] > tint[60, 40, 2] + 0.5
    edge = conditioning.edges(p.label, parts)
    assert edge[60, 58:62].any()
    assert not edge[60, 35:55].any()


def test_sketch_shows_the_window_dark_and_stays_a_hint() -> None:
    p = picture()
    parts = conditioning.objects(p.label, p.instance)
    tint = conditioning.tint(p.image, p.label, parts)
    windows, walls = [], []
    for seed in range(20):
        sketch = conditioning.sketch(p.image, p.label, tint, np.random.default_rng(seed))
        assert np.abs(sketch).max() <= 1.0
        windows.append(sketch[30:38, 122:133].mean())
        walls.append(sketch[30:38, 95:115].mean())
    assert np.mean(windows) < np.mean(walls) - 0.3
    assert min(np.abs(windows)) == 0.0, "it must be withheld now and then"


def test_markings_are_found_inside_the_road_only() -> None:
    p = picture()
    p.image[80:96, 78:82] = 230
    marked = conditioning.mark_road_lines(p.image, p.label)
    assert (marked[84:92, 79:81] == Channel.ROAD_LINE).all()
    assert (marked[:60] == p.label[:60]).all()


def steps_of(config: TrainConfig) -> Trainer:
    """Train as ``neuralsim model train`` does, going on if there is something to go on from."""
    torch.set_num_threads(1)
    trainer = Trainer(config, SMALL)
    if (Path(config.output.folder) / "last.safetensors").exists():
        trainer.resume(Path(config.output.folder))
    train(trainer, SyntheticSource(), lambda step, losses: None)
    return trainer


@pytest.mark.slow
def test_a_resumed_run_has_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    whole = steps_of(tiny(tmp_path / "whole", steps=4))
    steps_of(tiny(tmp_path / "parted", steps=2))
    parted = steps_of(tiny(tmp_path / "parted", steps=4, workers=3))
    assert equal(whole.generator, parted.generator)
    assert equal(whole.discriminator, parted.discriminator)
    assert equal(whole.average, parted.average)


def test_accumulated_batches_make_one_step_with_their_mean_gradient(tmp_path: Path) -> None:
    plain = {"steps": 1, "precision": "fp32", "features": 0.0}  # whose losses are means over the pictures
    parted = steps_of(tiny(tmp_path / "a", batch=1, accumulate=2, **plain))
    once = steps_of(tiny(tmp_path / "b", batch=2, **plain))
    assert parted.step == once.step == 1
    a, b = (torch.cat([p.grad.ravel() for p in t.generator.parameters()]) for t in (parted, once))
    assert (a - b).norm() < 1e-3 * b.norm()


@pytest.mark.slow
def test_full_precision_is_another_run(tmp_path: Path) -> None:
    half, full = (steps_of(tiny(tmp_path / kind, steps=1, precision=kind)) for kind in ("bf16", "fp32"))
    assert not equal(half.generator, full.generator)


def test_nan_stops_the_run_and_the_last_good_state_stays(tmp_path: Path) -> None:
    config = tiny(tmp_path, steps=9, save_every=2)
    trainer = Trainer(config, SMALL)

    def report(step: int, losses: dict[str, float]) -> None:
        if step == 5:
            with torch.no_grad():
                next(trainer.generator.parameters()).fill_(float("nan"))

    with pytest.raises(FloatingPointError, match=f"step 6.* not finite; the last good state is {tmp_path}"):
        train(trainer, SyntheticSource(), report)
    again = Trainer(config, SMALL)
    again.resume(tmp_path)
    assert again.step == 4
    assert all(torch.isfinite(value).all() for value in again.generator.parameters())


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Files cannot grow beyond ``size`` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_is_one_line_and_the_last_good_state_stays(tmp_path: Path) -> None:
    trainer = Trainer(tiny(tmp_path), SMALL)
    trainer.save(tmp_path)
    good = (tmp_path / "last.safetensors").read_bytes()
    trainer.step = 7
    with full_disk(len(good) // 2), pytest.raises(OSError, match="step 7 cannot be saved") as error:
        trainer.save(tmp_path)
    assert "\n" not in str(error.value)
    assert "the last good state is" in str(error.value)
    assert os.listdir(tmp_path) == ["last.safetensors"]
    assert (tmp_path / "last.safetensors").read_bytes() == good


def test_a_state_that_does_not_describe_itself_goes_on_by_the_file_next_to_it(tmp_path: Path) -> None:
    """As runs left it before: tensors alone, and ``last.json``."""
    steps_of(tiny(tmp_path, steps=2))
    state = tmp_path / "last.safetensors"
    save_file(load_file(state), state)
    with pytest.raises(ValueError, match="does not say at which step") as error:
        Trainer(tiny(tmp_path), SMALL).resume(tmp_path)
    assert "\n" not in str(error.value)
    (tmp_path / "last.json").write_text('{"step": 2, "config": {"camvid": "gone"}}')
    assert steps_of(tiny(tmp_path, steps=3)).step == 3


def test_a_state_with_older_names_resumes_as_if_nothing_had_been_renamed(tmp_path: Path) -> None:
    losses = {"frechet": 1.0, "frechet_classes": 1.0}
    before = steps_of(tiny(tmp_path, steps=2, **losses))
    state = tmp_path / "last.safetensors"
    tensors = {}
    for name, value in load_file(state).items():
        name = re.sub(r"^discriminator(?=[._])", "judge", name)
        tensors[re.sub(r"^generator(?=[._])", "painter", name.replace(".generated.", ".painted."))] = value
    for kind in ("judge_adam.", "painter_adam.", "painter.rgb.", "frechet.painted.0.", "frechet_classes.painted.0."):
        assert any(name.startswith(kind) for name in tensors), kind
    metadata = about(tmp_path)
    metadata["painter"] = metadata.pop("generator")
    del metadata["stage"]
    flat: dict[str, object] = {}
    sections = json.loads(metadata["config"])
    for key, path in FLAT.items():
        section, _, name = path.partition(".")
        flat["judge_rate" if key == "discriminator_rate" else key] = sections[section][name]
    metadata["config"] = json.dumps(flat | {"steps": sections["steps"], "seed": sections["seed"]})
    save_file(tensors, state, metadata)
    now = Trainer(tiny(tmp_path, steps=3, **losses), SMALL)
    now.resume(tmp_path)
    assert (now.step, now.started) == (2, before.started)
    assert equal(before.discriminator, now.discriminator)
    assert equal(before.generator, now.generator)
    assert equal(before.average, load_generator(tmp_path))
    assert equal(before.statistics["frechet"], now.statistics["frechet"])
    assert equal(before.class_statistics["frechet_classes"], now.class_statistics["frechet_classes"])
    for name in ("generator", "discriminator"):
        moments, same = (run.learners[name].adam.state_dict()["state"] for run in (before, now))
        assert moments.keys() == same.keys()
        assert all(torch.equal(moments[n]["exp_avg"], same[n]["exp_avg"]) for n in moments)


def test_a_discriminator_that_is_new_starts_untrained_next_to_trained_ones(tmp_path: Path) -> None:
    before = steps_of(tiny(tmp_path, steps=1))
    now = Trainer(tiny(tmp_path, steps=2, patches=1.0, matching=1.0), SMALL)
    now.resume(tmp_path)
    assert equal(before.discriminator, now.discriminator)
    fresh = now.learners["patches"].network.state_dict()["scales.0.scores.parametrizations.weight.original"].clone()
    train(now, SyntheticSource(), lambda step, losses: None)
    assert now.step == 2
    assert not torch.equal(
        fresh, now.learners["patches"].network.state_dict()["scales.0.scores.parametrizations.weight.original"]
    )


def test_a_run_of_another_architecture_is_refused(tmp_path: Path) -> None:
    Trainer(run_config({"out": str(tmp_path)}), SMALL).save(tmp_path)
    other = Trainer(run_config({"out": str(tmp_path)}), replace(SMALL, decoder=(24,) * 5))
    with pytest.raises(ValueError, match="architecture"):
        other.resume(tmp_path)


@pytest.mark.slow
def test_a_minute_of_training_on_frames_of_the_town_renders_closer_to_them(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    town = TownDrive(64, 32, vehicles=8, walkers=0)
    surface, looks = Surface(*palettes([picture()])), styles([replace(picture(), source="own")])
    (tmp_path / "pairs").mkdir()
    drive_pairs(town, tmp_path / "pairs/town", surface, looks, 2, np.random.default_rng(0))
    for number in range(4):
        town.skip(20)
        planes = town.next_frame(colour="rgb").planes
        for kind in ("rgb", "tag", "instance"):
            (tmp_path / "recording" / kind).mkdir(parents=True, exist_ok=True)
            plane = planes[kind][..., ::-1] if kind == "rgb" else planes[kind]
            cv2.imwrite(str(tmp_path / "recording" / kind / f"{number:06d}.png"), plane)
    image_set = find(Source(name="neuralsim", root=str(tmp_path / "recording")))
    pictures = Pictures([image_set], (64, 32), 10**8)
    settings = {"simulated": str(tmp_path / "pairs"), "simulated_every": 6, "warmup": 4, "rate": 2e-3, "steps": 48}
    trainer = Trainer(tiny(tmp_path, **settings), SMALL)
    rng = np.random.default_rng(0)
    label, tint, detail, image = collate([conditioning.example(each, 64, 32, rng) for each in pictures.sample(4)])

    def loss() -> float:
        with torch.no_grad():
            generated = trainer.generator(label, tint, detail)
            distance = feature_distance(trainer.features[0](generated), trainer.features[0](image))
            return float(
                trainer.config.losses.features * distance
                + trainer.config.losses.pixels * (generated - image).abs().mean()
            )

    before, seen = loss(), []
    train(trainer, pictures, lambda step, losses: seen.append("steady" in losses))
    assert loss() < 0.95 * before, "it begins with the tint, and cannot fall far in so short a time"
    assert seen == [step % 6 == 0 for step in range(48)], "every sixth step is the town's"
    assert (tmp_path / "last.safetensors").exists()


@pytest.mark.slow
def test_rates_rise_and_fall(tmp_path: Path) -> None:
    trainer = Trainer(tiny(tmp_path, warmup=4, decay=0.5, steps=20, rate=2e-3), SMALL)
    seen = []
    train(
        trainer,
        SyntheticSource(),
        lambda step, losses: seen.append(trainer.learners["generator"].adam.param_groups[0]["lr"] / 2e-3),
    )
    assert seen[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert seen[4:11] == pytest.approx([1.0] * 7)
    assert seen[11:] == pytest.approx(np.arange(9, 0, -1) / 10)


def write_pair(folder: Path) -> None:
    """A frame of the town and the one before, which was the same."""
    p = conditioning.example(picture(), 64, 32, np.random.default_rng(0))
    twice = {name: np.stack([getattr(p, name)] * 2) for name in ("label", "tint", "detail")}
    folder.mkdir()
    still = {"motion": np.zeros((32, 64, 2), np.float16), "visible": np.ones((32, 64), np.float32)}
    np.savez_compressed(folder / "town_0.npz", **twice, **still)


def test_tensorboard_gets_losses_and_panels_of_real_pictures_and_the_town(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="comes with the train extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    torch.set_num_threads(1)
    write_pair(tmp_path / "pairs")
    settings = {"simulated": str(tmp_path / "pairs"), "simulated_every": 2, "panels_every": 1}
    trainer = Trainer(tiny(tmp_path, steps=2, **settings), SMALL)
    board = Board(trainer, tmp_path)
    train(trainer, SyntheticSource(), board.report, board.show)
    board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"images": 0}).Reload()
    assert [event.step for event in events.Scalars("loss/steady")] == [1], "the first step is the town's"
    assert [event.step for event in events.Scalars("loss/pix")] == [2]
    real, town = events.Images("real"), events.Images("town")
    assert [event.step for event in real] == [1, 2]
    assert (real[0].width, real[0].height) == (3 * 64, 2 * 32), "labels, real, generated; the two of a batch stacked"
    assert (town[0].width, town[0].height) == (2 * 64, 32)
    panel = cv2.imdecode(np.frombuffer(real[0].encoded_image_string, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert tuple(panel[30, 5]) == (128, 64, 128), "road in CARLA's palette"


def test_a_style_is_named_after_a_data_set_without_one(tmp_path: Path) -> None:
    looks = styles([replace(picture(), source="kitti"), replace(picture(1), name="0006R0_1", source="camvid")])
    assert list(looks) == ["day", "kitti"]
    assert all(np.isfinite(look).all() for look in looks.values())


def test_only_the_winter_style_keeps_bare_trees() -> None:
    """Foliage is dark and green as leaves are, but for the recording whose crowns are to stay bare."""

    def wood(seed: int, name: str, source: str, crown: tuple[int, int, int]) -> conditioning.Picture:
        p = picture(seed)
        p.label[:40, 60:] = Channel.VEGETATION
        p.image[:40, 60:] = crown
        return replace(p, name=name, source=source)

    grey, green = (100, 98, 97), (30, 45, 28)
    looks = styles(
        [wood(0, "0006R0_1", "camvid", grey), wood(1, "0016E5_05", "camvid", grey), wood(2, "aachen_1", "city", green)]
    )
    crowns = {name: (look[Channel.VEGETATION] + 0.5) * 255.0 for name, look in looks.items()}
    assert np.abs(crowns["cambridge"] - grey).max() < 2.0
    assert np.abs(crowns["aachen"] - green).max() < 2.0
    red, leaf, blue = crowns["day"]
    assert leaf > 1.15 * red > 1.15 * blue, "day is in leaf"
    assert 0.4 < leaf / grey[1] < 0.7, "which lets no sky through"


PROCESS = """
import hashlib, sys
import torch
from test_rollouts import EVERYTHING, SMALL
from helpers.training import SyntheticSource, tiny
from neuralsim.training import distributed
from neuralsim.training.training_loop import train
from neuralsim.training.trainer import Trainer

class Told(SyntheticSource):
    def draw(self, rng):
        drawn.append(rng.random())
        return super().draw(rng)

torch.set_num_threads(1)
with distributed.joined() as group:
    settings = EVERYTHING | {"rollout": 3, "rollout_from": 3, "minutes": 9.0, "precision": "fp32"}
    trainer = Trainer(tiny(sys.argv[1], steps=2, batch=1, **settings), SMALL, ranks=group)
    drawn = []
    train(trainer, Told(), lambda step, losses: None)
learned = [value for each in trainer.learners.values() for value in each.network.state_dict().values()]
digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in learned))
print(digest.hexdigest(), drawn[0])
"""


@pytest.mark.slow
def test_two_processes_learn_one_model_from_examples_of_their_own(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}  # as torchrun tells it
    root = Path(__file__).parents[3]
    where["PYTHONPATH"] = os.pathsep.join(map(str, (root, root / "tests", Path(__file__).parent)))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path / str(rank))],
            env={**os.environ, **where, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        (first, seen), (second, other) = (process.communicate(timeout=400)[0].split() for process in processes)
    finally:
        for process in processes:
            process.kill()
    assert first == second
    assert seen != other
    assert (tmp_path / "0/last.safetensors").exists()
    assert not (tmp_path / "1").exists()
