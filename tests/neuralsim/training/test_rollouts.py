"""Training on frames in a row: exact motion, what each loss reaches, going on bit by bit, what D_V sees."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from helpers.training import SyntheticSource, equal, picture, run_config  # noqa: E402

from bridge.tags import Tag  # noqa: E402
from neuralsim.imaging.image_files import ImageError  # noqa: E402
from neuralsim.models.classes import CHANNELS, Channel  # noqa: E402
from neuralsim.models.discriminator import MultiScale, VideoDiscriminator  # noqa: E402
from neuralsim.models.generator import GeneratorConfig  # noqa: E402
from neuralsim.models.input_planes import Surface  # noqa: E402
from neuralsim.models.video_generator import RecurrenceStep  # noqa: E402
from neuralsim.renderer.postprocessing.sharpening import sharpen  # noqa: E402
from neuralsim.town.town_drive import TownDrive  # noqa: E402
from neuralsim.training import losses  # noqa: E402
from neuralsim.training.config import Source, TrainConfig  # noqa: E402
from neuralsim.training.data import clips  # noqa: E402
from neuralsim.training.data.clips import Clip, batch, halved, moved_map, moved_still, real_clip, window  # noqa: E402
from neuralsim.training.data.datasets import Pictures, find  # noqa: E402
from neuralsim.training.data.simulated_pairs import drive_pairs, load_clip, load_pair  # noqa: E402
from neuralsim.training.rollout import as_shown, rolled_out, rollout_step, row, strides  # noqa: E402
from neuralsim.training.tensors import chained, warp  # noqa: E402
from neuralsim.training.trainer import Trainer  # noqa: E402
from neuralsim.training.training_board import Board  # noqa: E402
from neuralsim.training.training_loop import train  # noqa: E402

pytestmark = pytest.mark.slow

SMALL = GeneratorConfig(
    encoder=(8,) * 5,
    decoder=(8,) * 5,
    blocks=((1,),) * 5,
    past_frames=2,
    past=(8,) * 5,
    foreground=(8,) * 5,
    mask=True,
    flow=8,
)
EVERYTHING = {"patches": 1.0, "video": 0.1, "matching": 2.0, "flow": 1.0, "occlusion": 1.0, "steady": 1.0}


def config(out: Path, **settings: object) -> TrainConfig:
    small = {
        "out": str(out),
        "width": 64,
        "height": 32,
        "warmup": 3,
        "precision": "fp32",
        "batch": 1,
        "rollout": 4,
        "rollout_from": 4,
    }
    return run_config(small | settings)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


# Frames in a row ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_moved_still_moves_as_its_motion_says(seed: int) -> None:
    """Zooms in and out: each frame is the last one moved, where that was visible."""
    clip = moved_still(picture(), 192, 96, 6, np.random.default_rng(seed))
    assert clip.image is not None
    image, label = clip.image[0], clip.label[0].float()
    assert not clip.visible[0, 0].any(), "the first frame has none before it"
    for t in range(1, 6):
        motion, seen = clip.motion[:, t], clip.visible[0, t, 0] > 0
        assert seen.float().mean() > 0.85
        moved = warp(image[t - 1][None], motion)[0]
        assert (moved - image[t])[:, seen].abs().mean() < 0.25 * (image[t - 1] - image[t])[:, seen].abs().mean() + 0.01
        same = warp(label[t - 1][None, None], motion, "nearest")[0, 0] == label[t]
        assert same[seen].float().mean() > 0.97
    assert clip.motion[0, 1:].abs().amax() > 0.2
    whole = chained([clip.motion[:, t] for t in (5, 4, 3, 2, 1)])
    far = warp(image[:1], whole)[0]
    still = clip.visible[0, 1:, 0].amin(0) > 0
    assert (far - image[5])[:, still].abs().mean() < 0.06, "and over five frames"


def test_a_mover_in_a_still_comes_nearer_than_what_is_behind_it() -> None:
    for seed in range(20):
        clip = moved_still(picture(), 192, 96, 3, np.random.default_rng(seed))
        car = clip.label[0, 2] == Channel.VEHICLE
        if car.any() and not clip.visible[0, 2, 0].all():
            hidden = clip.visible[0, 2, 0] == 0
            near = torch.nn.functional.max_pool2d(car.float()[None], 5, 1, 2)[0] > 0
            assert (hidden & near).any(), "its outline uncovers and covers"
            return
    raise AssertionError("no still was driven into")


def test_a_map_moves_with_its_planes_and_without_a_picture() -> None:
    still = moved_still(picture(), 192, 96, 1, _rng())
    clip = moved_map(still.label[0, 0], still.tint[0, 0], still.detail[0, 0], 4, _rng())
    assert clip.still
    assert clip.image is None
    assert torch.equal(clip.label[0, 0], still.label[0, 0]), "it begins unmoved"
    for t in range(1, 4):
        seen = clip.visible[0, t, 0] > 0
        moved = warp(clip.tint[:, t - 1], clip.motion[:, t])[0]
        assert seen.float().mean() > 0.85
        assert (moved - clip.tint[0, t])[:, seen].abs().mean() < 0.01
    assert clip.motion[0, 1:].abs().amax() > 0.2


def test_a_window_of_a_clip_sees_nothing_of_what_was_outside_it() -> None:
    clip = moved_still(picture(), 192, 96, 4, _rng())
    part = window(clip, 64, 32, np.random.default_rng(3))
    assert part.label.shape == (1, 4, 32, 64)
    assert part.detail.shape == (1, 4, 2, 16, 32)
    assert part.image is not None
    corner = (
        (clip.image[0, 0].unfold(1, 32, 2).unfold(2, 64, 2) - part.image[0, 0][:, None, None]).abs().amax((0, 3, 4))
    )
    assert float(corner.min()) == 0.0, "it is a part of the whole"
    y, x = (2 * int(at) for at in np.unravel_index(int(corner.argmin()), corner.shape))
    assert torch.equal(part.detail, clip.detail[..., y // 2 : y // 2 + 16, x // 2 : x // 2 + 32])
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(64), indexing="ij")
    for t in range(1, 4):
        source = columns + part.motion[0, t, ..., 0], rows + part.motion[0, t, ..., 1]
        outside = (source[0] < -0.5) | (source[0] > 63.5) | (source[1] < -0.5) | (source[1] > 31.5)
        assert not part.visible[0, t, 0][outside].any()
        same = ~outside & (part.visible[0, t, 0] == clip.visible[0, t, 0, y : y + 32, x : x + 64])
        assert same.float().mean() > 0.9


def test_a_real_clip_has_its_motion_from_flow_and_carries_its_sketch_along() -> None:
    big = picture()
    frames = []
    for shift in (0, 2, 4):  # the camera turns: all moves two pixels a frame
        turned = {name: np.roll(getattr(big, name), shift, 1) for name in ("image", "label", "instance")}
        frames.append(type(big)(big.name, **turned))
    clip = real_clip(frames, 160, 96, np.random.default_rng(3))
    turned = clip.motion[0, 1:, ..., 0][clip.visible[0, 1:, 0] > 0]
    assert 1.0 < turned.abs().median() < 4.0
    moved = warp(clip.detail[0, 1][None], clip.motion[:, 2, ::2, ::2] / 2)[0]
    seen = clip.visible[0, 2, :, ::2, ::2] > 0
    assert (moved - clip.detail[0, 2])[1:][seen].abs().mean() < 0.1, "the sketch goes with the surfaces"


def test_videos_are_folders_of_frames_in_order(tmp_path: Path) -> None:
    for folder, count in (("a", 2), ("b", 4)):
        for kind in ("image", "label"):
            (tmp_path / folder / kind).mkdir(parents=True)
            for number in range(count):
                plane = np.full((32, 64), 7, np.uint8) if kind == "label" else np.full((32, 64, 3), number, np.uint8)
                cv2.imwrite(str(tmp_path / folder / kind / f"{number}.png"), plane)
    source = Source(name="cityscapes", root=str(tmp_path), splits=["a", "b"], sequence=True)
    pictures = Pictures([find(source)], (64, 32), 10**7)
    for seed in range(8):
        names = [each.name for each in pictures.stretch(np.random.default_rng(seed), 3)]
        assert names in (["0", "1", "2"], ["1", "2", "3"]), "never over the end of a folder"
    with pytest.raises(ImageError, match="no video of 5 frames"):
        pictures.stretch(np.random.default_rng(0), 5)


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of a drive through the town, as training has them."""
    folder = tmp_path_factory.mktemp("town")
    town = TownDrive(64, 32, vehicles=8, walkers=0)
    surface = Surface(np.zeros((3, 256, 3)), np.zeros((256, 3)))
    drive_pairs(town, folder / "town", surface, {"day": np.zeros((CHANNELS, 3), np.float32)}, 1, _rng(), 4)
    return folder


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_drive_of_the_town_is_a_clip_and_its_first_frames_a_pair(driven: Path) -> None:
    file = next(driven.glob("*.npz"))
    clip, pair = load_clip(file, 4), load_pair(file)
    assert clip.image is None
    assert clip.label.shape == (1, 4, 32, 64)
    assert torch.equal(pair.motion, clip.motion[0, 1])
    assert torch.equal(pair.label, clip.label[0, :2])
    small = halved(clip)
    assert small.label.shape == (1, 4, 16, 32)
    inner = clip.motion[0, 2].reshape(16, 2, 32, 2, 2).mean((1, 3)) / 2
    torch.testing.assert_close(small.motion[0, 2], inner)
    assert torch.equal(pair.halved().motion, small.motion[0, 1])
    with pytest.raises(ValueError, match="has 4 frames, rollouts need 5: delete its folder"):
        load_clip(file, 5)


# Losses ---------------------------------------------------------------------------------------------------------------

OFF = dict.fromkeys(["adversarial", "features", "pixels", "hue", "tone", "equivariance"], 0.0)
DRAWS = {"encode", "detail", "label", "start", "blocks", "lower", "to_head", "head", "rgb", "foreground"}
SEES = {"remember", *DRAWS}


@pytest.mark.parametrize(
    ("loss", "reached"),
    [
        ({"adversarial": 1.0}, SEES | {"occlusion"}),
        ({"patches": 1.0}, SEES | {"occlusion"}),
        ({"features": 1.0}, SEES | {"occlusion"}),
        ({"pixels": 1.0}, SEES | {"occlusion"}),
        ({"pixels": 1e-9, "video": 1.0}, SEES | {"occlusion"}),
        ({"pixels": 1e-9, "steady": 1.0}, SEES | {"occlusion"}),
        ({"pixels": 1e-9, "flow": 1.0}, {"flow", "label"}),
        ({"pixels": 1e-9, "occlusion": 1.0}, SEES - {"to_head", "head", "rgb", "foreground"} | {"occlusion"}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_a_losss_gradient_reaches_what_it_should(tmp_path: Path, loss: dict[str, float], reached: set[str]) -> None:
    trainer = Trainer(config(tmp_path, adversarial_from=-(10**6), precision="fp32", **OFF | loss), SMALL)
    clip = moved_still(picture(), 64, 32, 4, np.random.default_rng(5))
    rollout_step(trainer, clip, clip.label[:, 0], clip.image[:, 0])
    sizes_by_part = {name: 0.0 for name, _ in trainer.generator.named_children()}
    for name, parameter in trainer.generator.named_parameters():
        if parameter.grad is not None:
            sizes_by_part[name.split(".")[0]] += float(parameter.grad.abs().sum())
    most = max(sizes_by_part.values())
    assert {name for name, size in sizes_by_part.items() if size > 1e-6 * most} == reached
    moved = {name for name, learner in trainer.learners.items() if name != "generator" and _moved(learner.network)}
    expected = {{"adversarial": "discriminator"}.get(name, name) for name in loss}
    assert moved == expected & {"discriminator", "patches", "video"}


def _moved(network: torch.nn.Module) -> bool:
    return any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_a_generator_of_the_map_alone_learns_what_its_past_makes_of_it(tmp_path: Path) -> None:
    """Only the first frame's picture is what was generated: rollouts are another lesson than single pictures."""
    alone = replace(SMALL, past_frames=0, past=(), foreground=(), mask=False, flow=0)
    clip = moved_still(picture(), 64, 32, 4, np.random.default_rng(5))
    reported = []
    for sharpening in (0.0, 0.8):
        settings = {"precision": "fp32", "rollout_sharpening": sharpening, **OFF | {"pixels": 1.0}}
        trainer = Trainer(config(tmp_path, **settings), alone)
        pictures = rolled_out(trainer.generator, clip)[0]
        with torch.no_grad():
            single = trainer.generator(clip.label[0], clip.tint[0], clip.detail[0]).clamp(-1.0, 1.0)
        torch.testing.assert_close(pictures[0], single[0])
        assert (pictures[3] - single[3]).abs().max() > 1e-3
        reported.append(rollout_step(trainer, clip, clip.label[:, 0], clip.image[:, 0])["roll_pix"])
        assert _moved(trainer.generator)
    assert reported[0] != reported[1], "as it is shown"


def test_frames_with_a_short_past_get_no_losses(tmp_path: Path) -> None:
    losses_on = OFF | {"pixels": 1.0, "video": 0.1, "steady": 1.0, "matching": 1.0}
    clip = moved_still(picture(), 64, 32, 5, np.random.default_rng(5))
    reported = {}
    for settle in (0, 3):
        trainer = Trainer(
            config(tmp_path, precision="fp32", rollout=5, rollout_from=5, rollout_settle=settle, **losses_on), SMALL
        )
        pictures = rolled_out(trainer.generator, clip)[0]
        reported[settle] = rollout_step(trainer, clip, clip.label[:, 0], clip.image[:, 0])["roll_steady"]
        for t in range(max(settle, 1), 5):
            reported[settle] -= float(
                losses.steadiness(pictures[t][None], pictures[t - 1][None], clip.motion[:, t], clip.visible[:, t])
            ) / (5 - max(settle, 1))
        assert _moved(trainer.learners["video"].network)
    assert abs(reported[0]) < 1e-5
    assert abs(reported[3]) < 1e-5
    with pytest.raises(ValueError, match="leaves no frame"):
        config(tmp_path, rollout_settle=4)


def test_losses_see_rollouts_as_sharp_as_drives_show_them() -> None:
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (24, 32, 3), np.uint8), (0, 0), 2.0)
    label = torch.zeros(1, 24, 32, dtype=torch.int64)
    label[:, :8] = Channel.SKY
    state = torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1.0
    step = RecurrenceStep(state, state, state, None, None, state, state, mean=state)
    seen = as_shown(step, label, 0.8)[0].permute(1, 2, 0).numpy() * 127.5 + 127.5
    tag = np.where(label[0].numpy() == Channel.SKY, Tag.SKY, Tag.ROAD).astype(np.uint8)
    sharpen(picture, tag, 0.8)
    assert np.abs(seen[1:-1, 1:-1] - picture[1:-1, 1:-1]).max() < 2.0


def test_a_motion_that_has_to_be_estimated_teaches_the_flow_head_by_the_picture(tmp_path: Path) -> None:
    trainer = Trainer(config(tmp_path, precision="fp32", **OFF | {"pixels": 1.0}), SMALL)
    clip = moved_still(picture(), 64, 32, 3, np.random.default_rng(5))
    rollout_step(trainer, clip, clip.label[:, 0], clip.image[:, 0], estimate=True)
    assert _moved(trainer.generator.flow)


def test_where_flow_found_nothing_the_mask_does_not_learn_that_all_is_new(tmp_path: Path) -> None:
    trainer = Trainer(config(tmp_path, **OFF | {"pixels": 1.0, "occlusion": 1.0, "steady": 1.0}), SMALL)
    clip = real_clip([picture()] * 2, 64, 32, np.random.default_rng(0))
    reported = rollout_step(trainer, clip, clip.label[:, 0], clip.image[:, 0])
    assert set(reported) == {"roll_pix", "roll_steady"}
    still = moved_still(picture(), 64, 32, 2, np.random.default_rng(0))
    assert "roll_mask" in rollout_step(trainer, still, still.label[:, 0], still.image[:, 0])


def test_a_map_in_motion_is_held_to_the_statistics_of_pictures(tmp_path: Path) -> None:
    trainer = Trainer(config(tmp_path, adversarial_from=-(10**6), **OFF | {"adversarial": 1.0, "frechet": 1.0}), SMALL)
    still = moved_still(picture(), 64, 32, 1, _rng())
    clip = moved_map(still.label[0, 0], still.tint[0, 0], still.detail[0, 0], 2, _rng())
    reported = rollout_step(trainer, clip, still.label[:, 0], still.image[:, 0])
    assert set(reported) == {"roll_adv", "roll_frechet", "roll_discriminator"}
    assert float(trainer.statistics["frechet"].real[0].count) == 1.0
    assert float(trainer.statistics["frechet"].generated[0].count) == 2.0


def test_what_is_off_is_not_even_made(tmp_path: Path) -> None:
    trainer = Trainer(config(tmp_path, **OFF | {"pixels": 1.0}), SMALL)
    assert set(trainer.learners) == {"generator", "discriminator"}
    clip = moved_still(picture(), 64, 32, 2, np.random.default_rng(5))
    assert set(rollout_step(trainer, clip, clip.label[:, 0], clip.image[:, 0])) == {"roll_pix"}


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_both_adversarial_losses_pull_scores_apart_and_the_generator_up(kind: losses.Gan) -> None:
    score = torch.zeros(4, requires_grad=True)
    other = torch.zeros(4, requires_grad=True)
    losses.discriminator_loss([score], [other], kind).backward()
    losses_up = torch.zeros(4, requires_grad=True)
    losses.generator_loss([losses_up], kind).backward()
    assert (score.grad < 0).all()
    assert (losses_up.grad < 0).all()
    assert (other.grad > 0).all() if kind == "hinge" else (other.grad == 0).all()


def squares(count: int, seed: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Three frames of a bright square each that goes its way, and the motions back."""
    generator = torch.Generator().manual_seed(seed)
    way = torch.randint(0, 2, (count, 2), generator=generator) * 6 - 3
    place = torch.randint(8, 16, (count, 2), generator=generator)
    frames, rows = [], torch.arange(32)
    for t in range(3):
        at = place + way * t
        inside = [((rows >= at[:, k : k + 1]) & (rows < at[:, k : k + 1] + 8)).float() for k in (0, 1)]
        frames.append((inside[0][:, None, :, None] * inside[1][:, None, None, :]).repeat(1, 3, 1, 1) * 2 - 1)
    motion = -way.flip(1).float()[:, None, None].expand(count, 32, 32, 2)
    return frames, [motion, motion]


def test_dv_learns_to_tell_a_swapped_order_of_frames() -> None:
    """Each picture alone is as real in either order: only the order against the motion tells."""
    torch.manual_seed(0)
    network = VideoDiscriminator(width=8)
    adam = torch.optim.Adam(network.parameters(), 2e-3, (0.0, 0.99))
    for step in range(50):
        frames, motions = squares(16, step)
        scores = [[network(0, order, motions)[-1]] for order in (frames, frames[::-1])]
        loss = losses.discriminator_loss(*scores)
        adam.zero_grad()
        loss.backward()
        adam.step()
    frames, motions = squares(64, 1000)
    with torch.no_grad():
        right, wrong = (network(0, order, motions)[-1].mean((1, 2, 3)) for order in (frames, frames[::-1]))
    assert (right > wrong).float().mean() > 0.9


def test_dv_sees_rows_at_every_stride_with_the_motion_over_it() -> None:
    clip = moved_still(picture(), 64, 32, 9, np.random.default_rng(1))
    pictures = [clip.image[:, t] for t in range(9)]
    assert [strides(t) for t in (0, 1, 2, 4, 8)] == [[], [], [0], [0, 1], [0, 1, 2]]
    seen, motions = row(pictures[:8], pictures[8], clip.motion, 8, 2)
    assert all(torch.equal(a, pictures[t]) for a, t in zip(seen, (0, 4, 8), strict=True))
    assert torch.equal(motions[1], chained([clip.motion[:, t] for t in (8, 7, 6, 5)]))


def test_the_coarse_patches_see_half_the_size() -> None:
    fine, coarse = MultiScale(CHANNELS, width=8)(torch.zeros(1, 3, 32, 64), torch.zeros(1, CHANNELS, 32, 64))
    assert fine[0].shape[-2:] == (17, 33)
    assert coarse[0].shape[-2:] == (9, 17)


# Runs -----------------------------------------------------------------------------------------------------------------


def run(settings: TrainConfig) -> tuple[Trainer, list[dict[str, float]]]:
    trainer = Trainer(settings, SMALL)
    if (Path(settings.output.folder) / "last.safetensors").exists():
        trainer.resume(Path(settings.output.folder))
    reported: list[dict[str, float]] = []
    train(trainer, SyntheticSource(), lambda step, terms: reported.append(terms))
    return trainer, reported


@pytest.mark.slow
def test_a_resumed_run_of_rollouts_has_the_weights_of_an_unbroken_one(tmp_path: Path, driven: Path) -> None:
    kinds = {"rollout_stills": 1.0, "rollout_clips": 1.0, "rollout_town": 1.0, "simulated": str(driven)}
    kinds["data"] = [Source(classes="carla", root=".", sequence=True)]
    settings = (
        EVERYTHING
        | kinds
        | {"rollout": 3, "rollout_from": 3, "rollout_every": 1, "adversarial_from": 0, "adversarial_ramp": 1}
    )
    whole, reported = run(config(tmp_path / "whole", steps=4, **settings))
    run(config(tmp_path / "parted", steps=2, **settings))
    parted, _ = run(config(tmp_path / "parted", steps=4, workers=2, **settings))
    for name, learner in whole.learners.items():
        assert equal(learner.network, parted.learners[name].network), name
    assert equal(whole.average, parted.average)
    assert any("roll_hue" in each for each in reported), "one of the rollouts is the town's"
    assert any("roll_feat" in each for each in reported), "and one is real"
    assert all("roll_discriminator_video" in each for each in reported)


def test_tensorboard_gets_the_first_and_last_frames_of_a_rollout(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="comes with the train extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = Trainer(config(tmp_path, steps=1, rollout_every=1, panels_every=1, **OFF | {"pixels": 1.0}), SMALL)
    board = Board(trainer, tmp_path)
    train(trainer, SyntheticSource(), board.report, board.show)
    board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"images": 0}).Reload()
    assert [event.step for event in events.Scalars("loss/roll_pix")] == [1]
    (panel,) = events.Images("rollout")
    assert (panel.width, panel.height) == (3 * 64, 3 * 32), "labels, real, generated; frames 0, 1 and 3"


def test_rollouts_of_maps_in_windows(tmp_path: Path, driven: Path) -> None:
    town = next(driven.glob("*.npz"))
    kinds = {"rollout_stills": 0.0, "rollout_maps": 1.0, "simulated": str(tmp_path / "pairs"), "video": 0.1}
    settings = OFF | {"pixels": 1.0} | kinds | {"steps": 2, "rollout_every": 2, "rollout_width": 32, "panels_every": 1}
    (tmp_path / "pairs").mkdir()
    shutil.copy(town, tmp_path / "pairs")
    with pytest.raises(FileNotFoundError, match="no map pairs"):
        run(config(tmp_path, **settings))
    shutil.copy(town, tmp_path / "pairs" / "map_0.npz")
    trainer, reported, seen = Trainer(config(tmp_path, **settings), SMALL), [], []
    train(trainer, SyntheticSource(), lambda _, terms: reported.append(terms), lambda _, batch: seen.append(batch))
    assert set(reported[0]) == {"pix"}
    assert set(reported[1]) == {"roll_video", "roll_discriminator_video"}
    assert [None if each.clip is None else each.clip.label.shape for each in seen] == [None, (1, 4, 32, 32)]


def test_progression_in_size_and_time(tmp_path: Path) -> None:
    settings = config(tmp_path, width=128, height=64, rollout=16, rollout_from=2, rollout_double=10, half_until=6)
    assert [settings.frames_at(step) for step in (0, 9, 10, 20, 30, 900)] == [2, 2, 4, 8, 16, 16]
    assert [settings.size_at(step) for step in (5, 6)] == [(64, 32), (128, 64)]
    with pytest.raises(ValueError, match="multiples of 64"):
        config(tmp_path, half_until=1)


def test_half_the_size_first(tmp_path: Path) -> None:
    sizes = []
    settings = config(tmp_path, width=128, height=64, steps=4, half_until=2, rollout=2, rollout_from=2, panels_every=1)
    trainer = Trainer(settings, SMALL)
    train(trainer, SyntheticSource(), lambda *_: None, lambda step, seen: sizes.append(tuple(seen.batch[0].shape[1:])))
    assert sizes == [(32, 64), (32, 64), (64, 128), (64, 128)]


def test_rollouts_teach_a_video_generator_what_its_clip_shows(tmp_path: Path) -> None:
    trainer = Trainer(config(tmp_path, rate=3e-3, **OFF | {"pixels": 6.0, "occlusion": 0.5, "flow": 0.5}), SMALL)
    clip = batch([moved_still(picture(), 64, 32, 4, np.random.default_rng(seed)) for seed in (1, 2)])
    reported = [rollout_step(trainer, clip, clip.label[:, 0], clip.image[:, 0]) for _ in range(15)]
    for name, share in (("roll_pix", 0.9), ("roll_flow", 0.97)):
        first, last = (np.mean([each[name] for each in part]) for part in (reported[:3], reported[-3:]))
        assert last < share * first, name


@pytest.mark.parametrize(
    ("settings", "reported"),
    [
        ({"rollout": 0, "video": 0.1}, "losses of rollouts"),
        ({"rollout_stills": 0.0}, "rollouts of what"),
        ({"rollout_clips": 1.0}, "sequence: true"),
        ({"rollout_town": 1.0}, "folder for frames of the town"),
        ({"rollout_maps": 1.0}, "folder for frames of the town"),
        ({"rollout_width": 96}, "cannot be larger than the frames"),
        ({"rollout": 3}, "the longest"),
        (OFF, "nothing to learn from"),
    ],
)
def test_impossible_settings_are_reported(tmp_path: Path, settings: dict[str, object], reported: str) -> None:
    with pytest.raises(ValueError, match=reported):
        config(tmp_path, **settings)


def test_the_models_settings_are_a_sizes_but_for_those_that_are_given(tmp_path: Path) -> None:
    past = {"past_frames": 1, "past": [4, 8, 8, 8, 8], "mask": True}
    generator = config(tmp_path, model=past).generator()
    assert (generator.past_frames, generator.mask, generator.embed) == (1, True, 8)
    with pytest.raises(ValueError, match=r"`model\.settings` has no setting pasts"):
        config(tmp_path, model={"pasts": 1}).generator()
    with pytest.raises(ValueError, match="generator with `flow`"):
        Trainer(config(tmp_path, model=past, flow=1.0))
    assert isinstance(clips.batch([moved_still(picture(), 64, 32, 2, np.random.default_rng(0))] * 2), Clip)
