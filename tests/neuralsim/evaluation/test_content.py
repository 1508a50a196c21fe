"""Are generated objects compared with the simulator's as they should be?"""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.evaluation.content import LEAST, Compared, compare, content, lab
from neuralsim.models.classes import Channel


def street() -> dict[str, np.ndarray]:
    """Four cars of which one is too small to count, and a person."""
    tag = np.full((64, 160), Tag.ROAD, np.uint8)
    instance, rgb = np.zeros((64, 160), np.uint16), np.full((64, 160, 3), 90, np.uint8)
    colours = ((200, 30, 30), (30, 30, 200), (230, 230, 230))
    for place, colour in enumerate(colours):
        box = slice(10, 40), slice(5 + 40 * place, 35 + 40 * place)
        tag[box], instance[box], rgb[box] = Tag.CAR, 10 + place, colour
    tag[50:60, 5:25], instance[50:60, 5:25] = Tag.CAR, 20
    tag[42:60, 40:52], instance[42:60, 40:52] = Tag.PEDESTRIAN, 30
    return {"tag": tag, "instance": instance, "rgb": rgb}


def test_lab_is_that_of_the_standard() -> None:
    white, red = (lab(np.full((1, 1, 3), colour, np.uint8))[0, 0] for colour in ((255,) * 3, (255, 0, 0)))
    assert white == pytest.approx([100.0, 0.0, 0.0], abs=0.1)
    assert red == pytest.approx([53.24, 80.09, 67.20], abs=0.1)


def test_same_colours_agree_and_others_do_not() -> None:
    planes, objects = street(), {Channel.VEHICLE: Compared(), Channel.PERSON: Compared()}
    compare(planes, planes["rgb"], objects)
    same = objects[Channel.VEHICLE].figures()
    assert same == {"objects": 3, "chroma_difference": pytest.approx(0.0, abs=1e-3), "lightness_rank": pytest.approx(1)}
    assert objects[Channel.PERSON].figures()["objects"] == 1
    assert objects[Channel.PERSON].figures()["lightness_rank"] is None
    grey = np.repeat(planes["rgb"].mean(2, keepdims=True), 3, 2)
    objects = {Channel.VEHICLE: Compared()}
    compare(planes, (255 - grey).astype(np.uint8), objects)
    other = objects[Channel.VEHICLE].figures()
    assert other["chroma_difference"] > 40.0
    assert other["lightness_rank"] < 0.0
    assert Compared().figures() == {"objects": 0, "chroma_difference": None, "lightness_rank": None}


@pytest.mark.slow
def test_with_the_picture_as_guide_cars_have_their_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some frames of two towns; the surface alone draws its own colours."""
    monkeypatch.setitem(LEAST, Channel.VEHICLE, 120)  # a few frames have few cars near by
    guided, surface = (
        content("street-rt", "openvino", 48, guide=guide, towns=("oldtown", "suburb"))
        for guide in ("picture", "surface")
    )
    assert guided["vehicle"]["objects"] == surface["vehicle"]["objects"] > 3
    assert guided["vehicle"]["chroma_difference"] < surface["vehicle"]["chroma_difference"]
    assert guided["vehicle"]["lightness_rank"] > max(0.5, surface["vehicle"]["lightness_rank"])
    assert guided["traffic_lights"]["lit"] == surface["traffic_lights"]["lit"] > 30
    assert guided["traffic_lights"]["read"] > max(0.9, surface["traffic_lights"]["read"])
