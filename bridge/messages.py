"""The messages between bridge and renderer: dataclasses here, msgpack header and raw planes on the wire.

A frame is a ZeroMQ multipart message ``[topic, header, plane, plane, ...]``. The header is a msgpack map whose first
entry is the protocol version; ``header["planes"]`` lists ``[name, dtype, shape, codec]`` of the raw C-order
little-endian planes that follow, in their order. A control is a message of one part, a msgpack map. Objects travel as
columns (one binary string per field), since a list of 64 poses as numbers costs more than all the rest.

``unpack`` copies no plane: the arrays are views of the received buffers. Everything received is validated before use;
anything wrong with it is a one-line ``ProtocolError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any

import msgpack
import numpy as np

from bridge import jitter
from bridge.geometry import focal_length
from bridge.jitter import Jitter
from bridge.size import MOST

PROTOCOL = 1
TOPIC = b"frame"

#: Planes that the protocol knows: dtype on the wire and the shape behind (H, W).
PLANES: dict[str, tuple[str, tuple[int, ...]]] = {
    "tag": ("u1", ()),
    "instance": ("<u2", ()),
    "depth": ("<f4", ()),
    "motion": ("<f2", (2,)),
    "rgb": ("u1", (3,)),
}
UNKNOWN_MOTION = 65504.0  # px, the largest f16: marks pixels without known motion, which a model may estimate
MAX_HEADER = 1 << 20  # bytes
NOT_MSGPACK = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)  # what noise raises
MAX_NAME = 64  # characters
MAX_ITEMS = 4096  # objects, lamps, stamps, weather entries: each


class ProtocolError(ValueError):
    """A message that violates the protocol: truncated, of another version, or noise. One line says what is wrong."""


@dataclass
class Camera:
    """A pinhole camera. Pixel (row i, column j) looks along the ray through (j + 0.5, i + 0.5), less ``jitter``."""

    width: int
    height: int
    fov: float  # horizontal, degrees
    pose: np.ndarray  # f64 (4, 4), world <- camera; x forward, y right, z up (UE, left-handed), metres
    jitter: Jitter = jitter.NONE  # px (right, down) that this frame's picture is shifted by; motion does not contain it

    @property
    def focal(self) -> float:
        """Focal length in pixels, of both axes; the principal point is (width / 2, height / 2) plus ``jitter``."""
        return focal_length(self.width, self.fov)


@dataclass
class Ego:
    """State of the driven vehicle at capture."""

    speed: float = 0.0  # m/s, signed along the vehicle's forward axis
    steer: float = 0.0  # -1 left .. 1 right
    throttle: float = 0.0  # 0 .. 1
    brake: float = 0.0  # 0 .. 1
    hand_brake: bool = False
    gear: int = 0  # -1 reverse, 0 neutral, 1.. forward
    road_id: int = -1
    lane_id: int = 0
    autopilot: bool = False
    collisions: int = 0  # since spawn
    pose: np.ndarray = field(default_factory=lambda: np.eye(4))  # f64 (4, 4), world <- vehicle


@dataclass
class MovingObject:
    """Pose and size of a moving object, keyed by its value in the ``instance`` plane."""

    instance: int
    tag: int
    pose: np.ndarray  # f64 (4, 4), world <- object (centre of its bounding box)
    extent: tuple[float, float, float]  # half sizes, metres


@dataclass
class Lamp:
    """A lit lamp in view, which the tag plane cannot express."""

    kind: str  # "traffic_light" | "brake"
    state: str  # "red" | "yellow" | "green" | "on"
    box: tuple[float, float, float, float]  # left, top, right, bottom in pixels
    depth: float  # metres


@dataclass
class Impact:
    """The ego's newest collision."""

    what: str = ""  # it was with: "building", "pole", "car", "pedestrian", ...; "" for none yet
    speed: float = 0.0  # m/s that it changed the ego's velocity by


@dataclass
class Chart:
    """The lanes of a map as lines, seen from above."""

    name: str
    lines: list[np.ndarray]  # f32 (N, 2) each, m, in the direction of travel
    widths: np.ndarray  # f32 (len(lines),), m


def _nowhere() -> np.ndarray:
    return np.zeros((0, 2), np.float32)


def _nobody() -> np.ndarray:
    return np.zeros((0, 4), np.float32)


@dataclass
class Frame:
    """One tick as the renderer sees it. Planes are C-contiguous, all of the camera's height and width.

    ``tag`` u8 (H, W); ``instance`` u16 (H, W), 0 = none; ``depth`` f32 (H, W), metres along the camera axis, far plane
    1000; ``motion`` f16 (H, W, 2), pixels (dx, dy) from this frame's pixel to where that surface point was in the
    frame that this receiver was given before, both cameras taken without jitter; ``rgb`` u8 (H, W, 3), optional.
    """

    sequence: int  # counts the bridge's published frames
    sim_frame: int
    sim_time: float  # s
    camera: Camera
    planes: dict[str, np.ndarray]
    ego: Ego = field(default_factory=Ego)
    control_seq: int = 0  # newest control already contained in this frame
    stamps: dict[str, int] = field(default_factory=dict)  # ns, time.monotonic_ns of one host; see STAMPS
    weather: dict[str, float] = field(default_factory=dict)  # carla.WeatherParameters by name
    weather_name: str = ""
    objects: list[MovingObject] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)
    scenario: str = ""
    seed: int = 0
    play: str = ""  # JSON of the scenario director's report at this tick, "" without one
    view: str = ""  # which of several cameras this is, "" the first or only one
    notice: str = ""  # a message for the driver, repeated for some frames
    impact: Impact = field(default_factory=Impact)  # since spawn; ``ego.collisions`` counts them
    mount: str = ""  # which of the ego's cameras a driver looks through, "" the bridge's own
    route: np.ndarray = field(default_factory=_nowhere)  # f32 (N, 2), the way ahead that is navigated along, m
    route_left: float = 0.0  # m of it
    traffic: np.ndarray = field(default_factory=_nobody)  # f32 (N, 4): x, y (m), yaw (radians), 1 for those on foot
    chart: Chart | None = None  # of the map, until a control says that it has come
    skipped: int = 0  # frames dropped by this receiver since the one before (never sent, filled on arrival)


#: Order of the stamps in ``Frame.stamps``: tick begins (= capture), sensors arrived, frame packed and sent, received,
#: neural picture ready, shown. The stages of a report are the differences of neighbours.
STAMPS = ("capture", "simulated", "sent", "received", "rendered", "displayed")


@dataclass
class Control:
    """The driver's input, sent when it changes and at least ten times a second."""

    sequence: int
    stamp: int = 0  # ns, sender's time.monotonic_ns
    throttle: float = 0.0  # 0 .. 1
    brake: float = 0.0  # 0 .. 1
    steer: float = 0.0  # -1 .. 1
    hand_brake: bool = False
    reverse: bool = False
    autopilot: bool = False
    respawn: int = 0  # counts requests, so that a lost message loses none
    weather: int = 0  # counts requests for the next weather preset
    rgb: bool = False  # the window shows the simulator's own picture: send that plane
    paused: bool = False  # hold the simulation
    quit: bool = False  # the driver has left; the bridge may end
    driver: str = ""  # who sends it, the same in all of a window's controls
    leaving: bool = False  # the last one of this driver: somebody else may drive
    camera: str = ""  # of the ego's, to look through
    chart: str = ""  # name of the map whose chart has come
    going: int = 0  # counts destinations
    goal: bool = False  # there is one
    goal_x: float = 0.0  # m, of the newest one
    goal_y: float = 0.0
    preset: str = ""  # weather to change to when this changes
    minutes: int = 0  # after midnight, 1 to 1440, that the sun is to stand as at; 0: as the weather says


Buffer = bytes | bytearray | memoryview


def pack(frame: Frame) -> list[Any]:
    """Parts of the multipart message ``[topic, header, plane...]``; the planes are the arrays themselves, not copies.

    Raises ``ValueError`` if a plane is unknown, not C-contiguous, or not of the dtype and shape given in ``Frame``.
    """
    camera = frame.camera
    described, parts = [], []
    for name, plane in frame.planes.items():
        if name not in PLANES:
            raise ValueError(f"unknown plane {name!r}; the protocol knows {', '.join(PLANES)}")
        dtype, tail = PLANES[name]
        if plane.dtype != dtype or plane.shape != (camera.height, camera.width, *tail):
            raise ValueError(
                f"plane {name!r} is {plane.dtype} {plane.shape}, not {np.dtype(dtype)} of the camera's size"
            )
        if not plane.flags.c_contiguous:
            raise ValueError(f"plane {name!r} is not C-contiguous")
        described.append((name, dtype, plane.shape, "raw"))
        parts.append(plane)
    objects, ego = frame.objects, frame.ego
    header = {
        "protocol": PROTOCOL,
        "sequence": frame.sequence,
        "sim_frame": frame.sim_frame,
        "sim_time": frame.sim_time,
        "camera": (camera.width, camera.height, camera.fov, _matrix_bytes(camera.pose)),
        "jitter": camera.jitter,
        "planes": described,
        "ego": [_matrix_bytes(ego.pose) if name == "pose" else getattr(ego, name) for name in _EGO],
        "control_seq": frame.control_seq,
        "stamps": frame.stamps,
        "weather": frame.weather,
        "weather_name": frame.weather_name,
        "objects": (
            np.array([o.instance for o in objects], "<u2").tobytes(),
            np.array([o.tag for o in objects], "u1").tobytes(),
            b"".join([_matrix_bytes(o.pose) for o in objects]),
            np.array([o.extent for o in objects], "<f8").tobytes(),
        ),
        "lamps": [(lamp.kind, lamp.state, lamp.box, lamp.depth) for lamp in frame.lamps],
        "scenario": frame.scenario,
        "seed": frame.seed,
        "play": frame.play,
        "view": frame.view,
        "notice": frame.notice,
        "impact": (frame.impact.what, frame.impact.speed),
        "mount": frame.mount,
        "route": (frame.route_left, frame.route.astype("<f4").tobytes()),
        "traffic": frame.traffic.astype("<f4").tobytes(),
    }
    if frame.chart is not None:
        chart = frame.chart
        header["chart"] = (
            chart.name,
            np.array([len(line) for line in chart.lines], "<u4").tobytes(),
            b"".join([line.astype("<f4").tobytes() for line in chart.lines]),
            chart.widths.astype("<f4").tobytes(),
        )
    return [TOPIC, msgpack.packb(header), *parts]


def unpack(parts: Sequence[Buffer]) -> Frame:
    """The frame in a multipart message; its planes are views of ``parts``, not copies (read-only if those are).

    ``parts`` are bytes or buffers as ZeroMQ delivers them. Raises ``ProtocolError`` for anything but a frame.
    """
    if len(parts) < 2 or bytes(parts[0][:16]) != TOPIC:
        raise ProtocolError("not a frame: topic missing")
    header = _decode(parts[1])
    take = _Fields(header, "frame")
    camera = _camera(take("camera", list))
    camera.jitter = take.jitter()
    planes = _planes(take("planes", list), parts[2:], camera)
    return Frame(
        sequence=take.count("sequence"),
        sim_frame=take.count("sim_frame"),
        sim_time=take.real("sim_time"),
        camera=camera,
        planes=planes,
        ego=_ego(take("ego", list)),
        control_seq=take.count("control_seq"),
        stamps=take.table("stamps", int),
        weather=take.table("weather", float),
        weather_name=take("weather_name", str),
        objects=_objects(take("objects", list)),
        lamps=[_lamp(item) for item in take.items("lamps")],
        scenario=take("scenario", str),
        seed=take.count("seed"),
        play=take.text("play"),
        view=take.text("view"),
        notice=take.text("notice"),
        impact=take.impact(),
        mount=take.text("mount"),
        route=take.route(),
        route_left=take.route_left(),
        traffic=take.traffic(),
        chart=take.chart(),
    )


def pack_control(control: Control) -> bytes:
    """The single part of a control message."""
    return msgpack.packb({"protocol": PROTOCOL, **{name: getattr(control, name) for name in _CONTROL}})


def unpack_control(part: Buffer) -> Control:
    """The control in a message part, pedals and steering clipped to their range. Raises ``ProtocolError``."""
    header = _decode(part)
    take = _Fields(header, "control")
    values: dict[str, Any] = {}
    for name, default in _CONTROL.items():
        if name in _LATER and name not in header:
            values[name] = default
        elif isinstance(default, str):
            values[name] = take(name, str)
            if len(values[name]) > MAX_NAME:
                raise ProtocolError(f"control: {name} is longer than {MAX_NAME} characters")
        elif isinstance(default, bool):
            values[name] = take(name, bool)
        elif isinstance(default, float):
            least, most = _RANGES[name]
            values[name] = min(max(take.real(name), least), most)
        else:
            values[name] = take.count(name)
    return Control(**values)


#: That windows of before do not send.
_LATER = (
    "driver", "leaving", "camera", "chart", "going", "goal", "goal_x", "goal_y", "preset", "minutes",
)  # fmt: skip
_ANYWHERE = 1e6  # m from the middle of a map
_RANGES = {
    "throttle": (0.0, 1.0), "brake": (0.0, 1.0), "steer": (-1.0, 1.0),
    "goal_x": (-_ANYWHERE, _ANYWHERE), "goal_y": (-_ANYWHERE, _ANYWHERE),
}  # fmt: skip
_EGO = [f.name for f in fields(Ego)]
_CONTROL: dict[str, Any] = {f.name: getattr(Control(0), f.name) for f in fields(Control)}


def _matrix_bytes(matrix: np.ndarray) -> bytes:
    return np.ascontiguousarray(matrix, "<f8").tobytes()


def _decode(part: Buffer) -> dict[str, Any]:
    """The msgpack map in ``part``, of our version."""
    if len(part) > MAX_HEADER:
        raise ProtocolError(f"header of {len(part)} bytes is over {MAX_HEADER}")
    try:
        header = msgpack.unpackb(part, strict_map_key=True, max_ext_len=0)
    except NOT_MSGPACK as error:
        raise ProtocolError(f"header is not msgpack ({type(error).__name__})") from None
    if not isinstance(header, dict):
        raise ProtocolError("header is not a map")
    version = header.get("protocol")
    if type(version) is not int or version != PROTOCOL:
        shown = version if type(version) is int else "unknown"
        raise ProtocolError(f"protocol version {shown}, this side speaks {PROTOCOL}: update the older side")
    return header


class _Fields:
    """Checked access to the entries of a decoded map."""

    def __init__(self, values: dict[str, Any], what: str) -> None:
        self._values, self._what = values, what

    def __call__(self, name: str, kind: type) -> Any:
        value = self._values.get(name)
        if type(value) is not kind:
            raise ProtocolError(f"{self._what}: {name} is {type(value).__name__}, not {kind.__name__}")
        return value

    def count(self, name: str) -> int:
        value = self(name, int)
        if not 0 <= value < 1 << 63:
            raise ProtocolError(f"{self._what}: {name} is out of range")
        return value

    def text(self, name: str) -> str:
        """A string that older bridges do not send."""
        return self(name, str) if name in self._values else ""

    def jitter(self) -> Jitter:
        """The camera's shift, at most a pixel either way; bridges of before do not send one, and have none."""
        if "jitter" not in self._values:
            return jitter.NONE
        value = self("jitter", list)
        if len(value) != 2:
            raise ProtocolError(f"{self._what}: jitter is not (right, down)")
        right, down = (_real(part, f"{self._what}: jitter") for part in value)
        if max(abs(right), abs(down)) > 1.0:
            raise ProtocolError(f"{self._what}: jitter of more than a pixel")
        return right, down

    def impact(self) -> Impact:
        """The newest collision; bridges of before do not tell."""
        if "impact" not in self._values:
            return Impact()
        value = self("impact", list)
        if len(value) != 2 or type(value[0]) is not str or len(value[0]) > MAX_NAME:
            raise ProtocolError(f"{self._what}: impact is not (what, speed)")
        return Impact(value[0], _real(value[1], f"{self._what}: impact"))

    def route(self) -> np.ndarray:
        """The way ahead; bridges of before know none."""
        return _points(self._route()[1], 2, f"{self._what}: route")

    def route_left(self) -> float:
        """Metres of it."""
        return _real(self._route()[0], f"{self._what}: route")

    def _route(self) -> list[Any]:
        value = self("route", list) if "route" in self._values else [0.0, b""]
        if len(value) != 2:
            raise ProtocolError(f"{self._what}: route is not (metres, points)")
        return value

    def traffic(self) -> np.ndarray:
        """Road users around; bridges of before do not tell."""
        return _points(self._values.get("traffic", b""), 4, f"{self._what}: traffic")

    def chart(self) -> Chart | None:
        """The map's chart, in the frames that carry it."""
        if "chart" not in self._values:
            return None
        what, value = f"{self._what}: chart", self("chart", list)
        if len(value) != 4 or type(value[0]) is not str or not all(type(part) is bytes for part in value[1:]):
            raise ProtocolError(f"{what} is not (name, lengths, points, widths)")
        points, widths = _points(value[2], 2, what), _points(value[3], 1, what).reshape(-1)
        if len(value[1]) != 4 * len(widths):
            raise ProtocolError(f"{what}: its columns differ in length")
        lengths = np.frombuffer(value[1], "<u4").astype(np.int64)
        if lengths.sum() != len(points):
            raise ProtocolError(f"{what}: its lines do not add up")
        return Chart(value[0], np.split(points, np.cumsum(lengths)[:-1]), widths)

    def real(self, name: str) -> float:
        return _real(self._values.get(name), f"{self._what}: {name}")

    def items(self, name: str) -> list[Any]:
        value = self(name, list)
        if len(value) > MAX_ITEMS:
            raise ProtocolError(f"{self._what}: {name} has {len(value)} entries, over {MAX_ITEMS}")
        return value

    def table(self, name: str, kind: type) -> dict[str, Any]:
        value = self(name, dict)
        if len(value) > MAX_ITEMS:
            raise ProtocolError(f"{self._what}: {name} has {len(value)} entries, over {MAX_ITEMS}")
        for key, entry in value.items():
            if type(key) is not str or (kind is int and type(entry) is not int):
                raise ProtocolError(f"{self._what}: {name} is not a table of {kind.__name__}")
            if kind is float:
                _real(entry, f"{self._what}: {name}")
        return value


def _real(value: Any, what: str) -> float:
    if type(value) not in (float, int) or not isfinite(value) or abs(value) > 1e300:
        raise ProtocolError(f"{what} is not a finite number")
    return float(value)


def _points(value: Any, columns: int, what: str) -> np.ndarray:
    """f32 (N, columns) of finite numbers."""
    if type(value) is not bytes or len(value) % (4 * columns):
        raise ProtocolError(f"{what} is not {columns} columns of numbers")
    found = np.frombuffer(value, "<f4").reshape(-1, columns)
    if not np.isfinite(found).all():
        raise ProtocolError(f"{what}: a number is not finite")
    return found


def _matrix(value: Any, what: str) -> np.ndarray:
    if type(value) is not bytes or len(value) != 128:
        raise ProtocolError(f"{what}: a pose is 128 bytes")
    matrix = np.frombuffer(value, "<f8").reshape(4, 4)
    if not np.isfinite(matrix).all():
        raise ProtocolError(f"{what}: pose is not finite")
    return matrix


def _camera(value: list[Any]) -> Camera:
    if len(value) != 4 or type(value[0]) is not int or type(value[1]) is not int:
        raise ProtocolError("camera is not (width, height, fov, pose)")
    width, height = value[0], value[1]
    if not (1 <= width <= MOST and 1 <= height <= MOST):
        raise ProtocolError(f"camera of {width}x{height} pixels is out of range")
    fov = _real(value[2], "camera: fov")
    if not 1.0 <= fov <= 179.0:
        raise ProtocolError(f"camera: fov of {fov:g} degrees is out of range")
    return Camera(width, height, fov, _matrix(value[3], "camera"))


def _planes(described: list[Any], parts: Sequence[Buffer], camera: Camera) -> dict[str, np.ndarray]:
    if len(described) != len(parts) or len(described) > len(PLANES):
        raise ProtocolError(f"{len(parts)} planes came, {len(described)} are described")
    planes: dict[str, np.ndarray] = {}
    for entry, part in zip(described, parts, strict=True):
        if type(entry) is not list or len(entry) != 4 or type(entry[0]) is not str or entry[0] not in PLANES:
            raise ProtocolError("a plane is not described by (name, dtype, shape, codec)")
        name, dtype, shape, codec = entry
        known, tail = PLANES[name]
        if name in planes or dtype != known or codec != "raw" or shape != [camera.height, camera.width, *tail]:
            raise ProtocolError(f"plane {name!r} is not {np.dtype(known)} of the camera's size, raw, once")
        count = camera.height * camera.width * (tail[0] if tail else 1)
        size, came = count * np.dtype(known).itemsize, memoryview(part).nbytes
        if came != size:
            raise ProtocolError(f"plane {name!r} has {came} bytes, not {size}")
        planes[name] = np.frombuffer(part, known).reshape(shape)
    return planes


def _ego(value: list[Any]) -> Ego:
    if len(value) != len(_EGO):
        raise ProtocolError(f"ego has {len(value)} fields, not {len(_EGO)}")
    ego = Ego()
    for name, entry in zip(_EGO, value, strict=True):
        default = getattr(ego, name)
        if name == "pose":
            entry = _matrix(entry, "ego")
        elif isinstance(default, float):
            entry = _real(entry, f"ego: {name}")
        elif type(entry) is not type(default):
            raise ProtocolError(f"ego: {name} is {type(entry).__name__}, not {type(default).__name__}")
        setattr(ego, name, entry)
    return ego


def _objects(value: list[Any]) -> list[MovingObject]:
    if len(value) != 4 or not all(type(column) is bytes for column in value):
        raise ProtocolError("objects are not four columns")
    count = len(value[1])
    if count > MAX_ITEMS or [len(column) for column in value] != [2 * count, count, 128 * count, 24 * count]:
        raise ProtocolError("the columns of objects differ in length")
    instances, tags = np.frombuffer(value[0], "<u2").tolist(), list(value[1])
    poses, extents = np.frombuffer(value[2], "<f8").reshape(-1, 4, 4), np.frombuffer(value[3], "<f8").reshape(-1, 3)
    if not (np.isfinite(poses).all() and np.isfinite(extents).all()):
        raise ProtocolError("objects: a pose or an extent is not finite")
    return [
        MovingObject(instance, tag, pose, (x, y, z))
        for instance, tag, pose, (x, y, z) in zip(instances, tags, poses, extents.tolist(), strict=True)
    ]


def _lamp(value: Any) -> Lamp:
    if type(value) is not list or len(value) != 4 or type(value[0]) is not str or type(value[1]) is not str:
        raise ProtocolError("a lamp is not (kind, state, box, depth)")
    if type(value[2]) is not list or len(value[2]) != 4:
        raise ProtocolError("a lamp's box is not four numbers")
    left, top, right, bottom = (_real(edge, "lamp: box") for edge in value[2])
    return Lamp(value[0], value[1], (left, top, right, bottom), _real(value[3], "lamp: depth"))
