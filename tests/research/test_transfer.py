"""The detector of the transfer study: what it should say, and how that is read back."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from torch import Tensor  # noqa: E402

from neuralsim.evaluation.metric_networks import CAMVID_CLASSES  # noqa: E402
from research.transfer import recipe  # noqa: E402
from research.transfer.detector import VehicleDetector, boxes, target, vehicles  # noqa: E402

CARS = [(8, 20, 40, 44), (60, 12, 116, 60)]  # left, top, right, bottom


def label_of(*cars: tuple[int, int, int, int]) -> np.ndarray:
    label = np.zeros((96, 128), np.uint8)
    for left, top, right, bottom in cars:
        label[top:bottom, left:right] = CAMVID_CLASSES.index("car")
    return label


def test_vehicles_are_connected_regions_and_small_ones_are_set_aside() -> None:
    large, small = vehicles(label_of(*CARS, (2, 2, 6, 6)))
    assert large.tolist() == [list(map(float, car)) for car in sorted(CARS, key=lambda car: car[1])]
    assert small.tolist() == [[2.0, 2.0, 6.0, 6.0]]


def test_boxes_are_read_back_from_their_targets() -> None:
    heat, ignored, box, is_centre = target(label_of(*CARS, (2, 2, 6, 6)))
    assert is_centre.sum() == 2
    assert ignored[0, 0] == 1.0
    logits = np.where(is_centre > 0, 9.0, -9.0)
    found, scores = boxes(torch.from_numpy(np.concatenate([logits[None], box])))
    found = found[scores > 0.5]
    assert sorted(map(tuple, found.round(3))) == sorted(CARS)
    assert heat.max() <= 1.0


def test_a_detector_learns_where_vehicles_are() -> None:
    rng = np.random.default_rng(0)
    data = []
    for _ in range(24):
        left, top = int(rng.integers(8, 72)), int(rng.integers(4, 56))
        label = label_of((left, top, left + 48, top + 32))
        rows = [label[k // 2 :: k, k // 2 :: k].astype(np.float16) for k in (4, 8, 16, 32)]
        data.append(([np.repeat(r[None], c, 0) for r, c in zip(rows, (24, 40, 112, 320), strict=True)], label))
    task = VehicleDetector()
    net = recipe.train(data, task, 60, 0)

    def network(image: np.ndarray) -> Tensor:
        return net([torch.from_numpy(each)[None].float() for each in data[image[0, 0, 0]][0]])

    pairs = [(np.full((96, 128, 3), k, np.uint8), label) for k, (_, label) in enumerate(data)]
    with torch.inference_mode():
        assert task.test(network, pairs)["average precision"] > 0.8
        untrained = recipe.Decoder(task.outputs).eval()
        net = untrained
        assert task.test(network, pairs)["average precision"] < 0.2
