"""The topics of a recording: their schemas, and the messages of a frame.

Log times are simulated nanoseconds. Poses in Foxglove's messages are right-handed, those in JSON are CARLA's.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from bridge.messages import Frame
from neuralsim.recording import foxglove, foxglove_scene
from neuralsim.renderer.views import tag_image

JPEG = 95  # quality of the neural and rgb images
IMAGES = ("neural", "rgb")
COLOURED = "tag_color"  # the tags as a colour image
ANNOTATIONS = "/camera/annotations"
RAW = {"tag": "mono8", "instance": "mono16", "depth": "32FC1", "motion": "16FC2"}
OPTICAL = np.array([[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


_NUMBER, _INTEGER, _FLAG, _TEXT = ({"type": kind} for kind in ("number", "integer", "boolean", "string"))
_NUMBERS = {"type": "array", "items": _NUMBER}
_TABLE = {"type": "object", "additionalProperties": _NUMBER}
_EVENTS = {"type": "array", "items": {"type": "object"}}
_OBJECT = _object(
    instance=_INTEGER, tag=_INTEGER, pose=_NUMBERS, extent=_NUMBERS, blueprint=_TEXT, color=_TEXT, parked=_FLAG
)  # fmt: skip
_LAMP = _object(kind=_TEXT, state=_TEXT, box=_NUMBERS, depth=_NUMBER)

#: JSON topics -> name and JSON Schema of their messages. The last topic has the last message of a frame.
JSON: dict[str, tuple[str, dict[str, Any]]] = {
    "/ego": (
        "neuralsim.Ego",
        _object(
            frame=_INTEGER, time=_NUMBER, speed=_NUMBER, gear=_INTEGER, road_id=_INTEGER, lane_id=_INTEGER,
            collisions=_INTEGER, autopilot=_FLAG, weather=_TEXT, weather_parameters=_TABLE, scenario=_TEXT,
            seed=_INTEGER, blueprint=_TEXT, color=_TEXT, mount=_TEXT,
        ),
    ),
    "/control": (
        "neuralsim.Control",
        _object(frame=_INTEGER, throttle=_NUMBER, brake=_NUMBER, steer=_NUMBER, hand_brake=_FLAG, reverse=_FLAG),
    ),
    "/scenario": (
        "neuralsim.Scenario",
        _object(
            time=_NUMBER,
            actors={"type": "object", "additionalProperties": _NUMBERS},
            collisions=_EVENTS,
            lane_invasions=_EVENTS,
            route={"type": ["array", "null"], "items": _NUMBER},
        ),
    ),
    "/objects": (
        "neuralsim.Objects",
        _object(
            frame=_INTEGER,
            objects={"type": "array", "items": _OBJECT},
            lamps={"type": "array", "items": _LAMP},
        ),
    ),
}  # fmt: skip
LAST = "/objects"


def json_topics(views: Sequence[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return ``JSON`` with the topics of further cameras: what each of them sees."""
    return {**{camera_topic(view, "objects"): JSON[LAST] for view in views}, **JSON}


def protobuf_topics(planes: Sequence[str], view: str = "") -> dict[str, str]:
    """Return topic -> schema of one camera: its ``planes``, and its calibration."""
    kinds = {**dict.fromkeys(IMAGES, "foxglove.CompressedImage"), **dict.fromkeys(RAW, "foxglove.RawImage")}
    topics = {camera_topic(view, name): kinds[name] for name in planes}
    topics[camera_topic(view, "calibration")] = "foxglove.CameraCalibration"
    if "tag" in planes:
        topics[camera_topic(view, COLOURED)] = "foxglove.CompressedImage"
    if not view:
        topics[ANNOTATIONS] = "foxglove.ImageAnnotations"
    return topics


#: Topic -> schema of topics that do not belong to a camera.
SHARED = {
    "/tf": "foxglove.FrameTransform",
    "/ego/pose": "foxglove.PoseInFrame",
    "/scene/objects": "foxglove.SceneUpdate",
    "/scene/lanes": "foxglove.SceneUpdate",
}


def camera_topic(view: str, name: str) -> str:
    """Return ``/camera/tag`` for the first camera, ``/camera/rear/tag`` for one called rear."""
    return f"/camera/{view}/{name}" if view else f"/camera/{name}"


def camera_frame(view: str) -> str:
    """Return the coordinate frame of a camera."""
    return f"camera_{view}" if view else "camera"


def messages(frame: Frame, neural: np.ndarray | None, planes: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (topic, message) for a frame and its rendered image u8 (H, W, 3) RGB; for a further camera its own only."""
    now = round(frame.sim_time * 1e9)
    stamp = {"seconds": now // 1_000_000_000, "nanos": now % 1_000_000_000}
    view, camera = frame.view, frame.camera
    frame_id = camera_frame(view)
    for name in planes:
        image = neural if name == "neural" else frame.planes.get(name)
        if image is not None:
            yield camera_topic(view, name), _image(name, image, stamp, frame_id)
        if image is not None and name == "tag":
            yield camera_topic(view, COLOURED), _coloured(image, stamp, frame_id)
    f, cx, cy = camera.focal, camera.width / 2, camera.height / 2
    yield (
        camera_topic(view, "calibration"),
        foxglove.CameraCalibration(
            timestamp=stamp, frame_id=frame_id, width=camera.width, height=camera.height,
            distortion_model="plumb_bob", D=[0.0] * 5, K=[f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0],
            R=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            P=[f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        ).SerializeToString(),
    )  # fmt: skip
    ego = foxglove.right_handed(frame.ego.pose)
    yield "/tf", _transform(stamp, frame_id, foxglove.right_handed(camera.pose) @ OPTICAL)
    if view:
        yield camera_topic(view, "objects"), _json(_seen(frame))
        return
    yield "/tf", _transform(stamp, "ego", ego)
    position, orientation = foxglove.decompose(ego)
    pose = foxglove.Pose(position=position, orientation=orientation)
    yield "/ego/pose", foxglove.PoseInFrame(timestamp=stamp, frame_id="world", pose=pose).SerializeToString()
    yield ANNOTATIONS, foxglove_scene.outlines(frame, stamp)
    yield "/scene/objects", foxglove_scene.boxes(frame, stamp)
    if frame.chart is not None:
        yield "/scene/lanes", foxglove_scene.lanes(frame.chart, stamp)
    for topic, content in _json_messages(frame).items():
        yield topic, content if isinstance(content, bytes) else _json(content)


def _image(name: str, image: np.ndarray, stamp: dict[str, int], frame_id: str) -> bytes:
    if name in IMAGES:
        done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG])
        if not done:
            raise ValueError(f"the {name} image cannot be compressed")
        message = foxglove.CompressedImage(timestamp=stamp, frame_id=frame_id, data=data.tobytes(), format="jpeg")
    else:
        height, width = image.shape[:2]
        message = foxglove.RawImage(
            timestamp=stamp, frame_id=frame_id, width=width, height=height, encoding=RAW[name],
            step=image.strides[0], data=image.tobytes(),
        )  # fmt: skip
    data_: bytes = message.SerializeToString()
    return data_


def _coloured(tag: np.ndarray, stamp: dict[str, int], frame_id: str) -> bytes:
    """Return the tags in CARLA's colours as a PNG with a palette: OpenCV writes none, RGB takes six times longer."""
    height, width = tag.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row follows its filter type: none
    rows[:, 1:] = tag
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", tag_image(np.arange(256, dtype=np.uint8)).tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    )
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)) for kind, part in parts
    )
    message = foxglove.CompressedImage(timestamp=stamp, frame_id=frame_id, data=data, format="png")
    coloured: bytes = message.SerializeToString()
    return coloured


def _transform(stamp: dict[str, int], child: str, pose: np.ndarray) -> bytes:
    translation, rotation = foxglove.decompose(pose)
    message = foxglove.FrameTransform(
        timestamp=stamp, parent_frame_id="world", child_frame_id=child, translation=translation, rotation=rotation
    )
    data: bytes = message.SerializeToString()
    return data


def _json_messages(frame: Frame) -> dict[str, dict[str, Any] | bytes]:
    """Return the JSON messages of a frame. Poses are CARLA's: left-handed, row-major 4x4."""
    ego = frame.ego
    content: dict[str, dict[str, Any] | bytes] = {
        "/ego": {
            "frame": frame.sequence, "time": frame.sim_time, "speed": ego.speed, "gear": ego.gear,
            "road_id": ego.road_id, "lane_id": ego.lane_id, "collisions": ego.collisions, "autopilot": ego.autopilot,
            "weather": frame.weather_name, "weather_parameters": frame.weather, "scenario": frame.scenario,
            "seed": frame.seed, "blueprint": ego.blueprint, "color": ego.color, "mount": frame.mount,
        },
        "/control": {
            "frame": frame.sequence, "throttle": ego.throttle, "brake": ego.brake, "steer": ego.steer,
            "hand_brake": ego.hand_brake, "reverse": ego.gear < 0,
        },
    }  # fmt: skip
    if frame.play:
        content["/scenario"] = frame.play.encode()
    content[LAST] = _seen(frame)
    return content


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _seen(frame: Frame) -> dict[str, Any]:
    """Return the message about the objects and lamps that a camera sees."""
    return {
        "frame": frame.sequence,
        "objects": [
            {
                "instance": o.instance, "tag": o.tag, "pose": o.pose.ravel().tolist(), "extent": list(o.extent),
                "blueprint": o.blueprint, "color": o.color, "parked": o.parked,
            }
            for o in frame.objects
        ],
        "lamps": [
            {"kind": lamp.kind, "state": lamp.state, "box": list(lamp.box), "depth": lamp.depth}
            for lamp in frame.lamps
        ],
    }  # fmt: skip
