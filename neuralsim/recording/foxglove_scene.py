"""Scene content for viewers of recordings: boxes and lanes in 3D, outlines over the images.

Foxglove's ``SceneUpdate`` and ``ImageAnnotations``; axes as in ``foxglove.py``.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from bridge.messages import Camera, Chart, Frame, MovingObject
from bridge.tags import COLOURS, COUNT, Tag
from neuralsim.guide.lamp_light import colour_of
from neuralsim.recording import foxglove

_NEAREST = 0.3  # m in front of the camera: least distance of a box to be projected
_OPACITY = 0.65  # of boxes
_EDGE = 0.12  # m, width of a lane's edges
_ASPHALT = foxglove.Color(r=0.62, g=0.66, b=0.72, a=0.9)
_EGO = foxglove.Color(r=0.28, g=0.81, b=0.56, a=0.9)
_CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))  # of a box, in units of its half sizes
#: Pairs of corners with an edge between them: they differ in one coordinate.
_EDGES = np.array([(a, b) for a in range(8) for b in range(a) if (_CORNERS[a] != _CORNERS[b]).sum() == 1])
_Stamp = dict[str, int]


def boxes(frame: Frame, stamp: _Stamp) -> bytes:
    """Return a ``SceneUpdate`` of all moving objects in view and the ego as an arrow; it replaces the last one."""
    ego, *poses = _poses([frame.ego.pose, *(moving.pose for moving in frame.objects)])
    entities = [
        foxglove.SceneEntity(
            timestamp=stamp, frame_id="world", id=f"object {moving.instance}",
            cubes=[_cube(moving, pose)],
            metadata=[foxglove.KeyValuePair(key=key, value=value) for key, value in _facts(moving)],
        )
        for moving, pose in zip(frame.objects, poses, strict=True)
    ]  # fmt: skip
    arrow = foxglove.ArrowPrimitive(
        pose=ego, shaft_length=2.6, shaft_diameter=0.5, head_length=1.4, head_diameter=1.2, color=_EGO
    )
    entities.append(foxglove.SceneEntity(timestamp=stamp, frame_id="world", id="ego", arrows=[arrow]))
    delete_all = foxglove.SceneEntityDeletion(timestamp=stamp, type=foxglove.SceneEntityDeletion.Type.ALL)
    data: bytes = foxglove.SceneUpdate(deletions=[delete_all], entities=entities).SerializeToString()
    return data


def lanes(chart: Chart, stamp: _Stamp) -> bytes:
    """Return a ``SceneUpdate`` of both edges of every lane, on the plane through the world's origin."""
    edges = []
    for line, width in zip(chart.lines, chart.widths[:, 0], strict=True):
        if len(line) < 2:
            continue
        along = np.gradient(line.astype(np.float64), axis=0)
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        across = along[:, ::-1] * (-1.0, 1.0)
        edges += [line + 0.5 * side * width * across for side in (-1.0, 1.0)]
    strips = [
        foxglove.LinePrimitive(
            type=foxglove.LinePrimitive.Type.LINE_STRIP, thickness=_EDGE, color=_ASPHALT,
            points=[foxglove.Point3(x=x, y=-y) for x, y in edge.tolist()],
        )
        for edge in edges
    ]  # fmt: skip
    entity = foxglove.SceneEntity(timestamp=stamp, frame_id="world", id="lanes", lines=strips)
    data: bytes = foxglove.SceneUpdate(entities=[entity]).SerializeToString()
    return data


def outlines(frame: Frame, stamp: _Stamp) -> bytes:
    """Return ``ImageAnnotations``, in pixels, of the edges of boxes with their class, and of lit lamps."""
    lines, texts = [], []
    for moving in frame.objects:
        corners = _on_screen(moving, frame.camera)
        if corners is None:
            continue
        lines.append(
            foxglove.PointsAnnotation(
                timestamp=stamp, type=foxglove.PointsAnnotation.Type.LINE_LIST, thickness=1.0,
                points=[foxglove.Point2(x=x, y=y) for x, y in corners[_EDGES].reshape(-1, 2).tolist()],
                outline_color=_colour(moving.tag),
            )
        )  # fmt: skip
        left, top = corners.min(axis=0)
        texts.append(
            foxglove.TextAnnotation(
                timestamp=stamp, position=foxglove.Point2(x=left, y=top), text=_class(moving.tag), font_size=8.0,
                text_color=foxglove.Color(r=1.0, g=1.0, b=1.0, a=1.0), background_color=_colour(moving.tag, _OPACITY),
            )
        )  # fmt: skip
    for lamp in frame.lamps:
        left, top, right, bottom = lamp.box
        red, green, blue = colour_of(lamp)
        rectangle = [(left, top), (right, top), (right, bottom), (left, bottom)]
        lines.append(
            foxglove.PointsAnnotation(
                timestamp=stamp, type=foxglove.PointsAnnotation.Type.LINE_LOOP, thickness=1.0,
                points=[foxglove.Point2(x=x, y=y) for x, y in rectangle],
                outline_color=foxglove.Color(r=red / 255, g=green / 255, b=blue / 255, a=1.0),
            )
        )  # fmt: skip
    data: bytes = foxglove.ImageAnnotations(timestamp=stamp, points=lines, texts=texts).SerializeToString()
    return data


def _on_screen(moving: MovingObject, camera: Camera) -> np.ndarray | None:
    """Return the corners of a box in pixels, f64 (8, 2); None where it reaches behind the camera."""
    to_camera = np.linalg.inv(camera.pose) @ moving.pose
    x, y, z = ((_CORNERS * moving.extent) @ to_camera[:3, :3].T + to_camera[:3, 3]).T
    if x.min() < _NEAREST:
        return None
    return np.stack([camera.width / 2 + camera.focal * y / x, camera.height / 2 - camera.focal * z / x], axis=1)


def _poses(poses: Sequence[np.ndarray]) -> list[foxglove.Pose]:
    """Return poses in CARLA's axes as Foxglove's, in one call: SciPy takes 0.1 ms for each."""
    return [
        foxglove.Pose(position=position, orientation=orientation)
        for position, orientation in foxglove.decompose_all(np.stack([foxglove.right_handed(pose) for pose in poses]))
    ]


def _cube(moving: MovingObject, pose: foxglove.Pose) -> foxglove.CubePrimitive:
    x, y, z = moving.extent
    size = foxglove.Vector3(x=2.0 * x, y=2.0 * y, z=2.0 * z)
    return foxglove.CubePrimitive(pose=pose, size=size, color=_colour(moving.tag, _OPACITY))


def _colour(tag: int, opacity: float = 1.0) -> Any:
    red, green, blue = (COLOURS[tag] if tag < COUNT else np.zeros(3)) / 255.0
    return foxglove.Color(r=red, g=green, b=blue, a=opacity)


def _class(tag: int) -> str:
    return Tag(tag).name.lower().replace("_", " ") if tag < COUNT else f"tag {tag}"


def _facts(moving: MovingObject) -> list[tuple[str, str]]:
    facts = [("class", _class(moving.tag)), ("instance", str(moving.instance))]
    facts += [("blueprint", moving.blueprint)] if moving.blueprint else []
    return facts + ([("parked", "true")] if moving.parked else [])
