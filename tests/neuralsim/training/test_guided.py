"""Training of guided generators: photographs in the look of an engine, pairs of simulators' images, steps on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from helpers.training import SyntheticSource, picture, tiny  # noqa: E402
from pydantic import ValidationError  # noqa: E402

from bridge.weather import darkness  # noqa: E402
from neuralsim.models.classes import MOVERS, Channel  # noqa: E402
from neuralsim.models.generator import SIZES, GeneratorConfig  # noqa: E402
from neuralsim.models.guide_image import split_image, with_relief  # noqa: E402
from neuralsim.models.surfaces import BLOCK  # noqa: E402
from neuralsim.training import checkpoint  # noqa: E402
from neuralsim.training.data import conditioning, guided_pairs, looks, textures  # noqa: E402
from neuralsim.training.data.conditioning import example, objects, tint  # noqa: E402
from neuralsim.training.data.guided_pairs import load_guided_pair, make_guided_pairs, view_pair  # noqa: E402
from neuralsim.training.losses import contrast_distance, pattern_distance  # noqa: E402
from neuralsim.training.trainer import Trainer  # noqa: E402
from neuralsim.training.training_loop import Examples  # noqa: E402

SMALL = GeneratorConfig(encoder=(16,) * 5, decoder=(16,) * 5, blocks=((2,),) * 5, guided=True, head_layers=2)


def planes(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return image, label, tint and objects of a synthetic street."""
    street = picture(seed)
    parts = objects(street.label, street.instance)
    return street.image, street.label, tint(street.image, street.label, parts), parts


# Looks ----------------------------------------------------------------------------------------------------------------


def test_an_engines_image_keeps_the_layout_and_loses_the_grain() -> None:
    image, label, tinted, _ = planes()
    rng = np.random.default_rng(1)
    grain = []
    for _ in range(20):
        drawn = looks.engine_image(image, label, tinted, rng)
        assert drawn.shape == image.shape
        assert drawn.dtype == np.float32
        assert 0.0 <= drawn.min() <= drawn.max() <= 1.0
        car, window = drawn[55:70, 35:55].mean((0, 1)), drawn[30:38, 122:133].mean()
        assert car[0] > car[2], "the red car is red in any look"
        assert window < drawn[30:38, 100:115].mean() + 0.08, "the window is hardly ever brighter than its wall"
        grain.append(drawn[80:, :, 1].std())
    assert np.median(grain) < 1.5 * image[80:, :, 1].std() / 255.0


def test_looks_differ_in_exposure_colour_and_contrast() -> None:
    rng = np.random.default_rng(2)
    grey = np.full((4, 4, 3), 120, np.uint8)
    seen = np.array([looks.apply_look(grey, looks.random_look(rng), 1.0)[0, 0] for _ in range(60)])
    assert seen.mean(1).std() > 0.05, "exposure"
    assert (seen[:, 0] - seen[:, 2]).std() > 0.02, "cast"
    weak = np.array([looks.apply_look(grey, looks.random_look(rng, 0.2), 1.0)[0, 0] for _ in range(60)])
    assert weak.mean(1).std() < 0.5 * seen.mean(1).std()
    red = np.full((1, 1, 3), (200, 40, 40), np.uint8)
    identity = np.repeat(np.linspace(0.0, 1.0, 256, dtype=np.float32)[None], 3, 0)
    assert np.ptp(looks.apply_look(red, identity, 0.0)) < 1e-6
    assert np.allclose(looks.apply_look(red, identity, 1.0) * 255.0, red, atol=0.5)


def test_in_little_light_everything_is_darker_but_around_lamps() -> None:
    image = planes()[0]
    dark = [looks.darkened(image, np.random.default_rng(seed)) for seed in range(12)]
    assert all(each.mean() < 0.95 * image.mean() for each in dark)
    assert min(each.mean() for each in dark) < 0.45 * image.mean()


def test_a_thing_is_mislabelled_now_and_then_and_nothing_else_is() -> None:
    _, label, _, parts = planes()
    rng = np.random.default_rng(3)
    changed = [looks.wrong_labels(label, parts, rng) != label for _ in range(200)]
    share = np.mean([each.any() for each in changed])
    assert 0.05 < share < 0.25
    assert all(np.isin(label[each], MOVERS).all() for each in changed)


def test_an_example_has_local_means_as_its_tint_and_a_sketch_of_surfaces_alone() -> None:
    brightness = []
    for dark in (0.0, 1.0):
        rng = np.random.default_rng(4)
        made = example(picture(), 64, 32, rng, guided=True, dark=dark)
        assert made.tint.shape == (3, 32, 64)
        assert not made.detail[:, np.isin(made.label[::2, ::2], MOVERS)].any()
        assert np.abs(made.tint).max() <= 0.5
        error = np.abs(made.tint + 0.5 - made.image / 255.0).mean()
        assert error < 0.25, "guide and image are of one exposure"
        brightness.append(made.image.mean())
    assert brightness[1] < 0.9 * brightness[0]


# Textures -------------------------------------------------------------------------------------------------------------


def test_noise_has_unit_contrast_and_is_wider_than_high_on_the_ground() -> None:
    label = np.full((200, 300), Channel.VEGETATION, np.uint8)
    label[100:] = Channel.ROAD
    label[:20, :50] = Channel.VEHICLE
    drawn = np.stack([textures.noise(label, np.random.default_rng(seed)) for seed in range(12)])
    assert drawn.dtype == np.float32
    assert not drawn[:, :20, :50].any()
    assert np.abs(drawn).max() <= 2.5
    for part in (drawn[:, 20:100], drawn[:, 100:]):
        assert part.std() == pytest.approx(1.0, abs=0.15)
    steps = [
        [np.abs(np.diff(part, axis=axis)).mean() for axis in (1, 2)] for part in (drawn[:, 20:100], drawn[:, 100:])
    ]
    assert steps[0][0] == pytest.approx(steps[0][1], rel=0.1)
    assert steps[1][0] > 1.3 * steps[1][1]


def test_a_photographs_texture_keeps_its_pattern_and_loses_its_strength() -> None:
    rng = np.random.default_rng(8)
    pattern = cv2.GaussianBlur(rng.standard_normal((80, 400)).astype(np.float32), (0, 0), 1.0)
    strength = np.where(np.arange(400) < 200, 0.01, 0.1).astype(np.float32)
    luma = 0.4 + pattern / pattern.std() * strength
    label = np.full((80, 400), Channel.ROAD, np.uint8)
    seen = np.stack([textures.of_photograph(luma, label, np.random.default_rng(seed)) for seed in range(20)])
    alike = np.array([np.corrcoef(each.ravel(), pattern.ravel())[0, 1] for each in seen])
    assert np.sort(alike)[len(alike) // 2] > 0.7, "more often than not it is the photograph's alone"
    assert alike.min() < 0.6, "now and then it is mixed with noise"
    weak, strong = seen[:, :, 20:150].std(), seen[:, :, 250:380].std()
    assert weak == pytest.approx(strong, rel=0.15)
    assert strong == pytest.approx(1.0, abs=0.2)


def test_a_texture_moves_with_its_surface() -> None:
    label = np.full((40, 60), Channel.TERRAIN, np.uint8)
    first = textures.noise(label, np.random.default_rng(0))
    visible = np.ones((40, 60), bool)
    visible[:, 50:] = False
    motion = np.broadcast_to(np.float32([3.0, 1.0]), (40, 60, 2))
    following = textures.moved(first, label, motion, visible, np.random.default_rng(1))
    assert np.array_equal(following[:39, :50], first[1:, 3:53])
    assert np.abs(following[:, 50:]).mean() > 0.3
    assert not np.array_equal(following[:39, 50:57], first[1:, 53:])


# Pairs ----------------------------------------------------------------------------------------------------------------


def test_a_sketch_makes_a_tint_darker_and_brighter() -> None:
    detail = torch.zeros(1, 2, 4, 4)
    detail[0, 1, :, 2:] = 0.7
    detail[0, 1, :2, :2] = -0.7
    image = with_relief(torch.zeros(1, 3, 8, 8), detail)
    assert image[0, 0, 7, 7] == pytest.approx(float(np.arctanh(0.7)) / 4.5, abs=1e-6)
    assert image[0, 0, 0, 0] < 0.0 == image[0, 0, 7, 0]
    assert torch.equal(image[:, 0], image[:, 2])


def test_two_views_of_one_image_are_equal_along_their_motion() -> None:
    rng = np.random.default_rng(5)
    pair = view_pair(picture(), 96, 48, rng)
    motion = pair.motion.numpy().astype(int)
    rows, columns = np.nonzero(pair.visible[0].numpy())
    x, y = columns + motion[rows, columns, 0], rows + motion[rows, columns, 1]
    assert (pair.label[1].numpy()[rows, columns] == pair.label[0].numpy()[y, x]).all()
    assert pair.colours is not None
    assert (pair.colours[1][:, rows, columns] - pair.colours[0][:, y, x]).abs().max() < 0.02
    assert not pair.taught
    assert not pair.still


def test_a_simulators_colours_are_exposed_as_photographs_are_but_by_night() -> None:
    rng = np.random.default_rng(8)
    label = np.full((32, 64), int(Channel.ROAD), np.uint8)
    label[:8] = int(Channel.SKY)
    for low, high in ((110, 200), (60, 110)):
        image = rng.integers(low, high, (32, 64, 3), np.uint8)
        colours, is_dark = guided_pairs.exposed(image, label)
        assert not is_dark
        assert colours[8:].mean() / 255.0 == pytest.approx(0.36, abs=0.06)
    night = rng.integers(0, 50, (32, 64, 3), np.uint8)
    colours, is_dark = guided_pairs.exposed(night, label)
    assert is_dark
    assert (colours == night).all()


@pytest.mark.slow
def test_town_pairs_have_a_teachers_images_and_one_look_in_both_frames(tmp_path: Path) -> None:
    make_guided_pairs(tmp_path, "street-rt", 2, 128, 64, seed=3)
    files = sorted(tmp_path.glob("*.npz"))
    assert len(files) == 2
    first, again = (load_guided_pair(files[0], np.random.default_rng(0)) for _ in (0, 1))
    other = load_guided_pair(files[0], np.random.default_rng(1))
    assert torch.equal(first.tint, again.tint)
    assert not torch.equal(first.tint, other.tint)
    assert first.taught
    assert first.colours is not None
    assert first.colours.shape == (2, 3, 64, 128)
    still = (first.motion.abs().amax(-1) < 0.01) & (first.visible[0] > 0)
    if still.any():
        assert (first.tint[1] - first.tint[0]).abs().amax(0)[still].median() < 0.02
    files[1].write_bytes(files[1].read_bytes()[:500])
    with pytest.raises(ValueError, match="damaged"):
        load_guided_pair(files[1], np.random.default_rng(0))


def test_weathers_are_mostly_by_day() -> None:
    rng = np.random.default_rng(6)
    dark = [darkness(guided_pairs.random_weather(rng)) for _ in range(300)]
    assert 0.05 < np.mean([each > 0.5 for each in dark]) < 0.25
    assert np.mean([each == 0.0 for each in dark]) > 0.6


# Steps ----------------------------------------------------------------------------------------------------------------


def test_of_a_thing_the_image_is_kept_but_its_finest_band() -> None:
    image = torch.rand(1, 3, 32, 64) - 0.5
    tint, sketch = split_image(image, torch.full((1, 32, 64), int(Channel.VEHICLE)))
    blocks = torch.nn.functional.avg_pool2d(image, 2)
    doubled = torch.nn.functional.interpolate(blocks, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert torch.allclose(tint, doubled, atol=1e-6)
    assert not sketch.any()


def test_of_a_surface_a_local_mean_is_kept_which_no_other_class_has_a_part_in() -> None:
    label = torch.full((1, 32, 64), int(Channel.ROAD))
    label[:, :, 30:] = int(Channel.BUILDING)
    image = torch.where(label == Channel.ROAD, -0.2, 0.3)[:, None].repeat(1, 3, 1, 1)
    image += 0.1 * (torch.arange(64) % 2 * 2 - 1)  # a texture
    tint, sketch = split_image(image, label)
    is_road = (label == Channel.ROAD)[:, None].expand_as(tint)
    assert torch.allclose(tint[is_road], torch.tensor(-0.2), atol=1e-5)
    assert torch.allclose(tint[~is_road], torch.tensor(0.3), atol=1e-5)
    assert sketch.abs().max() < 1e-4, "stripes of one pixel are finer than a sketch"
    image[..., 8:16, 8:16] += 0.1
    tint, sketch = split_image(image, label)
    assert sketch[0, 0, 6, 6] > 0.1 > sketch[0, 0, 6, 12] > -0.1


def test_a_window_of_a_pair_does_not_see_what_moved_in_from_outside() -> None:
    pair = view_pair(picture(), 96, 48, np.random.default_rng(7))
    part = pair.window(slice(16, 48), slice(32, 64))
    assert part.label.shape == (2, 32, 32)
    assert torch.equal(part.tint, pair.tint[..., 16:48, 32:64])
    assert torch.equal(part.detail, pair.detail[..., 8:24, 16:32])
    rows, columns = torch.nonzero(part.visible[0] > 0, as_tuple=True)
    x, y = columns + part.motion[rows, columns, 0], rows + part.motion[rows, columns, 1]
    assert ((x >= 0) & (x < 32) & (y >= 0) & (y < 32)).all()
    assert (part.visible == 0).any()


def test_steps_on_simulator_images_learn_colours_by_night_and_more_by_day(tmp_path: Path) -> None:
    losses = {"taught": 1.0, "adversarial_from": 0, "adversarial_ramp": 1, "equivariance": 1.0}
    trainer = Trainer(tiny(tmp_path, size="street-guided", **losses), SMALL)
    label, image = torch.ones(2, 32, 64).long(), torch.zeros(2, 3, 32, 64)
    pair = view_pair(picture(), 64, 32, np.random.default_rng(0))
    night = replace(pair, dark=True)
    by_day = trainer.simulated_step([replace(pair, taught=True), night], label, image)
    assert {"taught", "sim_adv", "discriminator", "colour", "steady"} <= by_day.keys()
    by_night = trainer.simulated_step([night, night], label, image)
    assert {"colour", "steady"} <= by_night.keys()
    assert not {"taught", "sim_adv", "discriminator"} & by_night.keys()
    assert trainer.step == 2


def test_a_share_of_the_steps_compares_drives_with_a_teachers_images_of_them(tmp_path: Path) -> None:
    losses = {"taught_share": 1.0, "adversarial_from": 0, "adversarial_ramp": 1, "frechet": 1.0, "frechet_town": 1.0}
    trainer = Trainer(tiny(tmp_path, size="street-guided", **losses, frechet_classes=1.0), SMALL)
    label, image = torch.ones(2, 32, 64).long(), torch.zeros(2, 3, 32, 64)
    pair = view_pair(picture(), 64, 32, np.random.default_rng(0))
    taught = replace(pair, taught=True)
    reference, kinds = trainer._reference([taught, pair], label, image)
    assert pair.colours is not None
    assert torch.equal(reference.image, pair.colours[1:][trainer._window(pair.colours)])
    assert torch.equal(reference.classes, pair.label[1:][trainer._window(pair.label)][:, ::2, ::2])
    photographs, every_kind = trainer._reference([pair, pair], label, image)
    assert torch.equal(photographs.image, image[trainer._window(image)])
    trainer.update_real_statistics(reference, kinds)
    seen = {name: float(each.real[0].count) for name, each in trainer.statistics.items()}
    assert (seen["frechet"], seen["frechet_town"]) == (0.0, 1.0), "label maps are of real streets"
    trainer.update_real_statistics(photographs, every_kind)
    assert trainer.statistics["frechet"].real[0].count == 1.0
    assert {"sim_adv", "discriminator"} <= trainer.simulated_step([taught, pair], label, image).keys()


def test_an_example_shows_a_window_that_begins_with_a_block_of_means() -> None:
    whole = picture()
    rng = np.random.default_rng(1)
    made = [example(whole, 96, 48, rng, guided=True, window=(64, 32)) for _ in range(4)]
    assert {each.label.shape for each in made} == {(32, 64)}
    assert {each.detail.shape for each in made} == {(2, 16, 32)}
    windows = [conditioning.random_window((48, 96), (64, 32), rng) for _ in range(20)]
    assert all(not (rows.start % BLOCK or columns.start % BLOCK) for rows, columns in windows)
    assert max(rows.stop for rows, _ in windows) <= 48
    assert conditioning.random_window((48, 96), (0, 0), rng) == (slice(0, 48), slice(0, 96))


def test_images_of_other_simulators_are_a_share_of_the_pairs(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    still = view_pair(picture(), 64, 32, np.random.default_rng(0))
    arrays = {"label": still.label.numpy().astype(np.uint8), "motion": still.motion.numpy()[None].astype(np.float16)}
    guide = np.zeros((2, 32, 64, 3), np.uint8)
    arrays |= {"guide": guide, "reference": guide, "visible": np.ones((1, 32, 64), bool), "dark": np.float32(0.0)}
    np.savez_compressed(pairs / "oldtown_000_00000.npz", **arrays)
    settings = {"size": "street-guided", "simulated": str(pairs), "simulated_every": 1}
    sources = [{"name": "camvid", "root": "nowhere"}]
    config = tiny(tmp_path, **settings, simulators=sources, simulator_share=0.4)
    examples = Examples(config, SyntheticSource(), ranks=_one(), step=0, simulators=SyntheticSource())
    try:
        taught = [pair.taught for _ in range(20) for pair in examples.pairs("cpu")]
    finally:
        examples.close()
    assert 0.3 < np.mean(taught) < 0.9


def test_a_packed_state_goes_on_with_its_discriminators(tmp_path: Path) -> None:
    losses = {"adversarial_from": 0, "adversarial_ramp": 1, "frechet_town": 1.0}
    trainer = Trainer(tiny(tmp_path / "run", size="street-guided", **losses), SMALL)
    label, image = torch.ones(2, 32, 64).long(), torch.zeros(2, 3, 32, 64)
    pair = view_pair(picture(), 64, 32, np.random.default_rng(0))
    trainer.simulated_step([pair, pair], label, image)
    trainer.save(tmp_path / "run")
    file = checkpoint.pack(tmp_path / "run", tmp_path / "packed" / "state.safetensors")
    assert file.stat().st_size < 0.4 * (tmp_path / "run" / checkpoint.STATE).stat().st_size
    other = Trainer(tiny(tmp_path / "other", size="street-guided", seed=5, **losses), SMALL)
    checkpoint.start(other, file)
    pairs = [(trainer.average, other.generator), (trainer.average, other.average)]
    pairs += [(trainer.discriminator, other.discriminator)]
    for before, after in pairs:
        for a, b in zip(before.parameters(), after.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-3, rtol=1e-3)
    moments = (each.statistics["frechet_town"].real[0] for each in (trainer, other))
    assert len({float(each.count) for each in moments}) == 1
    assert other.step == 0
    with pytest.raises(ValueError, match="another architecture"):
        checkpoint.start(Trainer(tiny(tmp_path / "third", size="street-guided", **losses)), file)
    file.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="not a packed state"):
        checkpoint.start(other, file)


def test_losses_of_a_guided_generator_are_refused_for_another(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="for a guided generator"):
        tiny(tmp_path, taught=1.0)
    assert SIZES["street-guided"].guided


def _one():  # type: ignore[no-untyped-def]
    from neuralsim.training.distributed import Ranks

    return Ranks()


def test_contrasts_of_textures_are_compared_class_by_class_and_octave_by_octave() -> None:
    torch.manual_seed(0)
    label = torch.full((1, 32, 64), int(Channel.ROAD))
    label[:, :16] = int(Channel.BUILDING)
    real = 0.2 * torch.randn(1, 3, 64, 128)
    assert contrast_distance(real, real.flip(3), label) < 0.1, "another texture of the same contrast"
    weaker = contrast_distance(0.5 * real, real, label)
    assert weaker == pytest.approx(np.log(2.0), abs=0.05)
    assert contrast_distance(real, 0.5 * real, label) == pytest.approx(float(weaker), abs=1e-4)
    of_walls = real.clone()
    of_walls[:, :, :32] *= 0.5
    assert 0.3 < contrast_distance(of_walls, real, label) < 0.4, "one of two classes"
    coarse = torch.nn.functional.interpolate(0.2 * torch.randn(1, 3, 16, 32), scale_factor=4.0)
    assert contrast_distance(coarse, real, label) > 0.3, "other octaves"
    flat = torch.zeros(1, 3, 64, 128, requires_grad=True)
    contrast_distance(flat, real, label).backward()
    assert torch.isfinite(flat.grad).all()


def test_plants_of_an_engine_are_more_colourful_than_those_of_photographs() -> None:
    image, label, _, _ = planes()
    label = label.copy()
    half = label.shape[1] // 2
    label[:, :half], label[:, half:] = int(Channel.VEGETATION), int(Channel.ROAD)
    image = np.full_like(image, (90, 110, 80))
    rng = np.random.default_rng(2)
    spread = np.zeros(2)
    for _ in range(40):
        seen = looks.engine_image(image, label, image / 255.0 - 0.5, rng)
        spread += [np.ptp(seen[:, part].mean((0, 1))) for part in (slice(half), slice(half, None))]
    assert spread[0] > 1.1 * spread[1]


def test_patterns_are_compared_place_by_place_whatever_their_strength() -> None:
    torch.manual_seed(2)
    label = torch.full((1, 48, 64), int(Channel.ROAD))
    label[:, :, 32:] = int(Channel.VEGETATION)
    strength = torch.where(torch.arange(128) < 64, 0.1, 0.5)
    real = torch.nn.functional.avg_pool2d(torch.randn(1, 3, 192, 256), 2) * strength
    assert pattern_distance(real, real, label) < 1e-6
    flat, weaker = (pattern_distance(factor * real, real, label) for factor in (0.0, 0.5))
    assert 0.8 < flat < 1.0, "little less than 1, as contrasts that cannot be seen do not count"
    assert weaker == pytest.approx(0.5 * float(flat), abs=1e-4)
    assert pattern_distance(real.flip(3), real, label) > flat, "the same contrast elsewhere"
    shifted = real + 0.2
    assert pattern_distance(shifted, real, label) < 1e-4, "brightness as such is no pattern"
    label[:] = int(Channel.BUILDING)
    assert pattern_distance(0.0 * real, real, label) == 0.0
