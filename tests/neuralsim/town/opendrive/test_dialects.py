"""OpenDRIVE's different ways to say the same are read as the same map."""

from __future__ import annotations

from pathlib import Path

import carla
import numpy as np
import pytest
from others.maps import NAMESPACE, RADIUS, UTM, ring

from neuralsim.town.opendrive import towns
from neuralsim.town.opendrive.network import Network
from neuralsim.town.opendrive.transverse_mercator import to_latitude_and_longitude
from neuralsim.town.world import World

_UTM_32 = "<geoReference><![CDATA[+proj=utm +zone=32 +datum=WGS84 +units=m]]></geoReference>"


def network(folder: Path, text: str | bytes) -> Network:
    path = folder / "ring.xodr"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Network(*towns.load(str(path)))


WAYS = {
    "namespace": ring(attributes=NAMESPACE),
    "prefix": ring(attributes=NAMESPACE.replace("xmlns", "xmlns:od"))
    .replace("<", "<od:")
    .replace("<od:/", "</od:")
    .replace("<od:?xml", "<?xml"),
    "ids of letters": ring(ids=("Ra", "Rb", "7", "Straße")),
    "large ids": ring(ids=("4000000000", "007", "-5", "12")),
    "borders": ring(borders=True),
    "spirals of one curvature": ring()
    .replace("<line/>", '<spiral curvStart="0" curvEnd="0"/>')
    .replace(
        f'<arc curvature="{1.0 / RADIUS!r}"/>', f'<spiral curvStart="{1.0 / RADIUS!r}" curvEnd="{1.0 / RADIUS!r}"/>'
    ),
    "Latin-1": ring(ids=("ä", "1", "2", "3")).replace("UTF-8", "ISO-8859-1").encode("latin-1"),
    "UTF-16": ring().replace("UTF-8", "UTF-16").encode("utf-16"),
    "UTF-16 without a mark": ring().replace("UTF-8", "UTF-16LE").encode("utf-16-le"),
    "comment before the declaration": "<!-- by a converter -->\n" + ring(),
}


@pytest.mark.parametrize("way", WAYS)
def test_another_way_to_say_the_same_is_the_same_map(way: str, tmp_path: Path) -> None:
    plain, other = network(tmp_path, ring()), network(tmp_path, WAYS[way])
    assert [lane.next for lane in other.lanes] == [lane.next for lane in plain.lanes]
    assert all(lane.next for lane in other.lanes)
    for one, another in zip(plain.lanes + plain.other_lanes, other.lanes + other.other_lanes, strict=True):
        assert one.kind == another.kind
        np.testing.assert_allclose(another.left, one.left, atol=1e-5)
        np.testing.assert_allclose(another.width, one.width, atol=1e-6)


def test_borders_are_distances_from_the_reference_line_not_from_the_lane_offset(tmp_path: Path) -> None:
    offset = '<laneOffset s="0" a="0.5" b="0.01" c="0" d="0"/><laneOffset s="100" a="1.5" b="0" c="0" d="0"/>'
    text = ring(borders=True).replace("<laneSection s='0'>", offset + "<laneSection s='0'>")
    lanes = {(lane.road, lane.id): lane for lane in network(tmp_path, text).lanes}
    left, right = lanes[0, 1], lanes[0, -1]
    np.testing.assert_allclose(left.width[::-1][[0, -1]], (2.9, 1.9), atol=1e-3)
    np.testing.assert_allclose(right.width[[0, -1]], (3.9, 4.9), atol=1e-3)
    at = right.centre[:, 0]
    np.testing.assert_allclose(right.width, 3.4 + np.minimum(0.5 + 0.01 * at, 1.5), atol=1e-3)


@pytest.mark.parametrize("encoding", ["unicode_escape", "idna", "bz2", "x" * 5000, "utf-8"])
def test_other_encodings_and_damaged_texts_are_refused(encoding: str, tmp_path: Path) -> None:
    text = ring().replace("UTF-8", encoding).encode() + b"\xff"
    with pytest.raises(ValueError, match=r"ring\.xodr is damaged") as caught:
        network(tmp_path, text)
    assert len(str(caught.value)) < 250 + len(str(tmp_path))


def test_limits_count_elements_with_a_namespace(tmp_path: Path) -> None:
    roads = '<road id="0" length="1" junction="-1"/>' * 3000
    with pytest.raises(ValueError, match="more than 2000 <road> elements"):
        network(tmp_path, f"<OpenDRIVE{NAMESPACE}>{roads}</OpenDRIVE>")


def test_a_surveyed_map_moves_as_smoothly_as_at_the_origin(tmp_path: Path) -> None:
    """Positions reach clients as float32, whose steps are half a metre where UTM coordinates of the north lie."""
    steps = []
    for name, text in (("plain", ring()), ("utm", ring(at=UTM, header=_UTM_32))):
        path = tmp_path / f"{name}.xodr"
        path.write_text(text, encoding="utf-8")
        world = World(str(path), vehicles=6, walkers=0)
        cars = [actor for actor in world.actors.values() if actor.blueprint.id.startswith("vehicle.")]
        places = []
        for _ in range(60):
            world.tick(0.05)
            places.append([np.float32((car.transform.x, car.transform.y)) for car in cars])
        steps.append(np.diff(np.array(places), axis=0))
    assert np.abs(steps[0]).max() > 0.2
    np.testing.assert_allclose(steps[1], steps[0], atol=1e-3)


_MIDDLE, _CORNER = (48.14824521892, 11.58138044913), (48.14774215767, 11.57974173910)  # of the ring, by PROJ


@pytest.mark.parametrize(
    ("at", "offset", "expected"),
    [
        (UTM, "", _MIDDLE),
        ((0.0, 0.0), f'<offset x="{UTM[0]}" y="{UTM[1]}" z="0" hdg="0"/>', _CORNER),
        ((0.0, 0.0), f'<offset x="{-UTM[0]}" y="{-UTM[1]}" z="0" hdg="0"/>', _CORNER),
        (UTM, f'<offset x="{-UTM[0]}" y="{-UTM[1]}" z="0" hdg="0"/>', _MIDDLE),
    ],
)
def test_a_moved_map_keeps_its_place_on_earth(
    at: tuple[float, float], offset: str, expected: tuple[float, float], tmp_path: Path
) -> None:
    place = network(tmp_path, ring(at=at, header=_UTM_32 + offset)).map.transform_to_geolocation(carla.Location())
    assert (place.latitude, place.longitude) == pytest.approx(expected, abs=1e-7)


def test_projections_agree_with_proj() -> None:
    """Values of PROJ, from pyproj."""
    south = to_latitude_and_longitude("+proj=utm +zone=56 +south", 334368.6336, 6250948.345)
    own = to_latitude_and_longitude("+proj=tmerc +lat_0=49 +lon_0=8 +k=0.9998 +x_0=1000 +y_0=-500", 25000.0, 31000.0)
    assert south == pytest.approx((-33.86880000346, 151.20929999941), abs=1e-8)
    assert own == pytest.approx((49.28282722485, 8.32993328304), abs=1e-8)
    for damaged in ("", "+proj=utm", "+proj=utm +zone=x", "+proj=tmerc +lat_0=x", "+proj=merc +lat_ts=10"):
        assert to_latitude_and_longitude(damaged, 5e5, 5e6) is None
