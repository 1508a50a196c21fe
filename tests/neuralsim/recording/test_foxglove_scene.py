"""Scene content of a recording, read back with the schemas in the file itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from mcap.reader import make_reader

import neuralsim.recording
from bridge.messages import Camera, Chart, Ego, Frame, Lamp, MovingObject
from bridge.tags import COLOURS, Tag
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.recording.writing.mcap_writer import McapWriter

WIDTH, HEIGHT = 96, 64
LAYOUT = Path(neuralsim.recording.__file__).parent / "foxglove_layout.json"


def drive() -> list[Frame]:
    """A car 20 m ahead and 3 m to the right, one behind the camera, a red light."""
    eye = np.eye(4)
    eye[:3, 3] = 100.0, 50.0, 1.5
    ahead, behind = eye.copy(), eye.copy()
    ahead[:3, 3] += 20.0, 3.0, -0.7
    behind[:3, 3] += -5.0, 0.0, 0.0
    tag = np.tile(np.arange(WIDTH, dtype=np.uint8) % 29, (HEIGHT, 1))
    street = np.stack([np.arange(0.0, 40.0, 4.0), np.full(10, 5.0)], axis=1).astype(np.float32)
    frames = []
    for k in range(3):
        frame = Frame(k, k, 0.05 * k, Camera(WIDTH, HEIGHT, 90.0, eye), {"tag": tag}, Ego(pose=eye))
        frame.objects = [
            MovingObject(7, Tag.CAR, ahead, (2.2, 0.9, 0.7), "vehicle.audi.tt"),
            MovingObject(9, Tag.TRUCK, behind, (4.0, 1.2, 1.6)),
        ][: 2 - k // 2]
        frame.lamps = [Lamp("traffic_light", "red", (30.0, 10.0, 33.0, 13.0), 25.0)]
        frame.chart = Chart("made", [street], np.array([[3.5]], np.float32)) if k == 0 else None
        frames.append(frame)
    return frames


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Messages by topic, of protobuf ones as the schemas in the file say."""
    path = tmp_path_factory.mktemp("scene") / "recording.mcap"
    writer = McapWriter(path, ("tag", "neural"), {})
    for frame in drive():
        writer.write(frame, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    writer.close()
    with RecordingReader(path) as reader:  # our own reader passes over what is for viewers
        assert len(reader) == 3
        assert frame_of(reader.read(0)).objects[0].blueprint == "vehicle.audi.tt"
    messages: dict[str, list[Any]] = {}
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            assert schema is not None
            if channel.message_encoding == "json":
                messages.setdefault(channel.topic, []).append(json.loads(message.data))
                continue
            pool = DescriptorPool()
            for each in FileDescriptorSet.FromString(schema.data).file:
                pool.Add(each)
            kind = GetMessageClass(pool.FindMessageTypeByName(schema.name))
            messages.setdefault(channel.topic, []).append(kind.FromString(message.data))
    return messages


def test_boxes_are_at_the_objects_in_right_handed_axes(seen: dict[str, list[Any]]):
    first, _, last = seen["/scene/objects"]
    car, truck, ego = first.entities
    cube = car.cubes[0]
    assert (cube.pose.position.x, cube.pose.position.y) == (120.0, -53.0)
    assert cube.pose.position.z == pytest.approx(0.8)
    assert (cube.size.x, cube.size.y, cube.size.z) == pytest.approx((4.4, 1.8, 1.4))
    assert (cube.color.r, cube.color.g, cube.color.b) == pytest.approx(tuple(COLOURS[Tag.CAR] / 255.0))
    assert {fact.key: fact.value for fact in car.metadata}["blueprint"] == "vehicle.audi.tt"
    assert truck.id == "object 9"
    assert ego.arrows[0].pose.position.y == -50.0
    assert [entity.id for entity in last.entities] == ["object 7", "ego"]
    assert last.deletions[0].type == 1, "what was there before is gone"


def test_lanes_are_drawn_once_by_both_edges(seen: dict[str, list[Any]]):
    (lanes,) = seen["/scene/lanes"]
    edges = [[point.y for point in line.points] for line in lanes.entities[0].lines]
    assert [len(edge) for edge in edges] == [10, 10]
    assert sorted(edge[0] for edge in edges) == pytest.approx([-6.75, -3.25])


def test_outlines_cover_their_objects(seen: dict[str, list[Any]]):
    said = seen["/camera/annotations"][0]
    box, lamp = said.points
    assert [text.text for text in said.texts] == ["car"], "what is behind the camera has no outline"
    assert len(box.points) == 24
    middle = np.mean([(point.x, point.y) for point in box.points], axis=0)
    focal = WIDTH / 2
    assert middle == pytest.approx((WIDTH / 2 + focal * 3 / 20, HEIGHT / 2 + focal * 0.7 / 20), abs=0.6)
    assert [(point.x, point.y) for point in lamp.points] == [(30, 10), (33, 10), (33, 13), (30, 13)]
    assert lamp.outline_color.r > 0.9 > lamp.outline_color.g


def test_tags_are_in_carlas_colours(seen: dict[str, list[Any]]):
    message = seen["/camera/tag_color"][0]
    assert message.format == "png"
    image = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert (image[0] == COLOURS[np.arange(WIDTH) % 29]).all()


def test_layout_refers_to_recorded_topics(seen: dict[str, list[Any]]):
    layout = json.loads(LAYOUT.read_text(encoding="utf-8"))
    panels, text = layout["configById"], json.dumps(layout["layout"])
    assert all(f'"{name}"' in text for name in panels)
    images = [each["imageMode"] for name, each in panels.items() if name.startswith("Image!")]
    named = {topic for mode in images for topic in (mode["imageTopic"], mode["calibrationTopic"], *mode["annotations"])}
    named |= set(panels["3D!neuralsim"]["topics"])
    with_paths = [panel for name, panel in panels.items() if name.startswith(("Plot!", "StateTransitions!"))]
    assert len(with_paths) == 3  # speed and collisions, pedals, events
    for path in (path for panel in with_paths for path in panel["paths"]):
        topic, key, *_ = path["value"].split(".")
        assert key in seen[topic][0]
    assert named <= seen.keys()
