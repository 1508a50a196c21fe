"""The messages between bridge and renderer, as dataclasses; ``bridge.link.frame_header`` encodes them for the wire.

Every received message is checked against the types below, bounds included, before it is used; any violation is a
``ProtocolError`` with a one-line message.
"""

from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import numpy as np
from msgspec import Meta

from bridge import jitter
from bridge.geometry import focal_length
from bridge.size import MOST

PROTOCOL = 3
TOPIC = b"frame"

#: The protocol's planes: dtype on the wire, and the dimensions that follow (H, W).
PLANES: dict[str, tuple[str, tuple[int, ...]]] = {
    "tag": ("u1", ()),
    "instance": ("<u2", ()),
    "depth": ("<f4", ()),
    "motion": ("<f2", (2,)),
    "rgb": ("u1", (3,)),
    "rgb_half": ("u1", (3,)),
}
#: The planes of a mirror, and those that they are in the mirror's own frame (``mirror_frame``).
MIRROR_PLANES = {f"mirror_{name}": name for name in ("tag", "instance", "depth", "motion", "rgb")}
PLANES |= {name: PLANES[plane] for name, plane in MIRROR_PLANES.items()}
HALF_SIZE_PLANES = frozenset({"rgb_half"})  # planes of half the camera's height and width, rounded up
UNKNOWN_MOTION = 65504.0  # px, the largest f16: marks pixels without known motion, which a model may estimate
HIDDEN_MOTION = 30_000.0  # px, outside any image: marks pixels whose surface the previous frame does not show
MAX_HEADER = 1 << 20  # bytes
MIRRORS = {"rear": (192, 64), "left": (128, 96), "right": (128, 96)}  # width and height of a mirror's planes, px
MAX_ITEMS = 4096  # of objects, lamps, stamps and weather entries, each

Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Number = Annotated[float, Meta(ge=-1e300, le=1e300)]  # finite
Shift = Annotated[float, Meta(ge=-1.0, le=1.0)]  # px
Side = Annotated[int, Meta(ge=1, le=MOST)]  # px
Name = Annotated[str, Meta(max_length=64)]
MirrorName = Literal["rear", "left", "right"]
LightBits = Annotated[int, Meta(ge=0, le=0xFFFF)]  # sum of ``Lights``
AtMostMaxItems = Meta(max_length=MAX_ITEMS)


class ProtocolError(ValueError):
    """A message violates the protocol: truncated, of another version, or noise. The message is one line."""


class Lights(IntFlag):
    """The lamps of a vehicle, as the bits of ``carla.VehicleLightState``."""

    POSITION = 0x1
    LOW_BEAM = 0x2
    HIGH_BEAM = 0x4
    BRAKE = 0x8
    RIGHT_BLINKER = 0x10
    LEFT_BLINKER = 0x20
    REVERSE = 0x40
    FOG = 0x80
    INTERIOR = 0x100
    SPECIAL1 = 0x200
    SPECIAL2 = 0x400


def plane_shape(name: str, height: int, width: int) -> tuple[int, ...]:
    """Return the shape of plane ``name`` for a camera of ``height`` x ``width`` px. Raises KeyError if unknown."""
    tail = PLANES[name][1]
    return ((height + 1) // 2, (width + 1) // 2, *tail) if name in HALF_SIZE_PLANES else (height, width, *tail)


@dataclass
class Camera:
    """A pinhole camera. Pixel (row i, column j) looks along the ray through (j + 0.5, i + 0.5), less ``jitter``."""

    width: Side
    height: Side
    fov: Annotated[float, Meta(ge=1.0, le=179.0)]  # horizontal, degrees
    pose: np.ndarray  # f64 (4, 4), world <- camera; x forward, y right, z up (UE, left-handed), metres
    jitter: tuple[Shift, Shift] = jitter.NONE  # shift of this frame's image, right and down; not contained in motion

    @property
    def focal(self) -> float:
        """Focal length in pixels, of both axes; the principal point is (width / 2, height / 2) plus ``jitter``."""
        return focal_length(self.width, self.fov)


@dataclass
class Ego:
    """The state of the driven vehicle at capture."""

    speed: Number = 0.0  # m/s, signed along the vehicle's forward axis
    steer: Number = 0.0  # -1 left .. 1 right
    throttle: Number = 0.0  # 0 .. 1
    brake: Number = 0.0  # 0 .. 1
    hand_brake: bool = False
    gear: int = 0  # -1 reverse, 0 neutral, 1.. forward
    road_id: int = -1
    lane_id: int = 0
    autopilot: bool = False
    collisions: int = 0  # since spawn
    lights: LightBits = 0  # its lamps that are on
    speed_limit: Number = 0.0  # m/s where it is, 0 = not known
    light: Name = ""  # of the traffic light that it stands or drives at: red, yellow, green; "" for none
    blueprint: Name = ""  # CARLA's, "" if unknown
    color: Name = ""  # R,G,B of its paint, "" if unknown
    pose: np.ndarray = field(default_factory=lambda: np.eye(4))  # f64 (4, 4), world <- vehicle


@dataclass
class MovingObject:
    """The pose and size of a vehicle or person, identified by its value in the ``instance`` plane."""

    instance: Annotated[int, Meta(ge=0, le=0xFFFF)]
    tag: Annotated[int, Meta(ge=0, le=0xFF)]
    pose: np.ndarray  # f64 (4, 4), world <- object (centre of its bounding box)
    extent: tuple[Number, Number, Number]  # half sizes, metres
    blueprint: Name = ""  # CARLA's, "" if unknown
    color: Name = ""  # R,G,B of its paint, "" for none
    parked: bool = False  # part of the scenery, where it always stands


@dataclass
class Lamp:
    """A lit lamp in view, which the tag plane cannot express."""

    kind: str  # "traffic_light" | "brake" | "tail" | "indicator" | "head" | "reverse" | "street"
    state: str  # of a traffic light "red" | "yellow" | "green"; "on", of headlamps also "high"
    box: tuple[Number, Number, Number, Number]  # left, top, right, bottom in pixels
    depth: Number  # metres


@dataclass
class RearView:
    """What one of the car's mirrors shows, as its camera sees it: not flipped."""

    camera: Camera  # its width and height are those in ``MIRRORS``
    lamps: Annotated[list[Lamp], AtMostMaxItems] = field(default_factory=list)
    name: MirrorName = "rear"


@dataclass
class Impact:
    """The ego's most recent collision."""

    what: Name = ""  # what was hit: "building", "pole", "car", "pedestrian", ...; "" before the first collision
    speed: Number = 0.0  # change of the ego's velocity, m/s


if TYPE_CHECKING:
    Points: TypeAlias = np.ndarray
    RoadUsers: TypeAlias = np.ndarray
    Metres: TypeAlias = np.ndarray
else:  # distinct types, from which the decoder knows the number of columns

    class Points(np.ndarray):
        """f32 (N, 2), m."""

    class RoadUsers(np.ndarray):
        """f32 (N, 4): x, y (m), yaw (radians), 1 for pedestrians."""

    class Metres(np.ndarray):
        """f32 (N, 1)."""


#: Number of columns of the arrays that are sent as rows of f32.
COLUMNS: dict[type, int] = {Points: 2, RoadUsers: 4, Metres: 1}


@dataclass
class Chart:
    """The lanes of a map as polylines, seen from above."""

    name: str
    lines: Annotated[list[Points], Meta(max_length=1 << 15)]  # f32 (N, 2) each, m, in the direction of travel
    widths: Metres  # f32 (len(lines), 1), m


@dataclass
class Frame:
    """One tick as the renderer receives it.

    Planes are C-contiguous and, except for ``HALF_SIZE_PLANES``, have the camera's height and width:

    * ``tag``: u8 (H, W).
    * ``instance``: u16 (H, W), 0 = none.
    * ``depth``: f32 (H, W), metres along the camera axis, far plane 1000.
    * ``motion``: f16 (H, W, 2), pixels (dx, dy) from this frame's pixel to where that surface point was in the frame
      that this receiver got before; both cameras are taken without jitter.
    * ``rgb``: u8 (H, W, 3), optional.
    * ``rgb_half``: u8 ((H + 1) / 2, (W + 1) / 2, 3), optional, the same at half the size: its pixel (i, j) is the one
      at (2i, 2j), give or take half a pixel of the frame.
    * those in ``MIRROR_PLANES``, optional, for the camera of ``mirror``, with its height and width.
    """

    sequence: Count  # number of this frame among the bridge's published ones
    sim_frame: Count
    sim_time: Number  # s
    camera: Camera
    planes: dict[str, np.ndarray]
    ego: Ego = field(default_factory=Ego)
    control_seq: Count = 0  # newest control already contained in this frame
    stamps: Annotated[dict[str, int], AtMostMaxItems] = field(default_factory=dict)  # ns, monotonic_ns; see STAMPS
    weather: Annotated[dict[str, Number], AtMostMaxItems] = field(default_factory=dict)  # carla.WeatherParameters
    weather_name: str = ""
    objects: Annotated[list[MovingObject], AtMostMaxItems] = field(default_factory=list)  # parked ones last
    lamps: Annotated[list[Lamp], AtMostMaxItems] = field(default_factory=list)
    scenario: str = ""
    seed: Count = 0
    play: str = ""  # the scenario director's report on this tick as JSON, "" without a scenario
    view: str = ""  # name of the camera, "" for the first or only one
    notice: str = ""  # a message for the driver, repeated for some frames
    impact: Impact = field(default_factory=Impact)  # since spawn; ``ego.collisions`` counts them
    mount: Name = ""  # which of the ego's cameras the driver looks through, "" for the bridge's own
    route: Points = field(default_factory=lambda: np.zeros((0, 2), np.float32))  # the rest of the navigated route
    route_left: Number = 0.0  # its length, m
    traffic: RoadUsers = field(default_factory=lambda: np.zeros((0, 4), np.float32))  # around the ego
    chart: Chart | None = None  # of the map, until a control acknowledges it
    mirror: RearView | None = None  # with a new image of a mirror into which the driver looks: one per frame at most
    estimated: bool = False  # the motion was estimated from images
    skipped: int = 0  # frames that this receiver dropped since the last one (never sent, filled on arrival)


def mirror_frame(frame: Frame) -> Frame | None:
    """Return the frame of the mirror's camera that ``frame`` contains, if any."""
    if frame.mirror is None:
        return None
    planes = {plane: frame.planes[name] for name, plane in MIRROR_PLANES.items() if name in frame.planes}
    return replace(frame, camera=frame.mirror.camera, lamps=frame.mirror.lamps, planes=planes, mirror=None)


#: Order of the stamps in ``Frame.stamps``: tick begins (= capture), sensors arrived, frame packed and sent, received,
#: generated image ready, displayed. The stages of a latency report are the differences of neighbours.
STAMPS = ("capture", "simulated", "sent", "received", "rendered", "displayed")


@dataclass
class Control:
    """The driver's input, sent when it changes and at least ten times a second."""

    sequence: Count
    stamp: Count = 0  # ns, sender's time.monotonic_ns
    throttle: Number = 0.0  # 0 .. 1
    brake: Number = 0.0  # 0 .. 1
    steer: Number = 0.0  # -1 .. 1
    hand_brake: bool = False
    reverse: bool = False
    autopilot: bool = False
    respawn: Count = 0  # counts requests, so that a lost message loses none
    weather: Count = 0  # counts requests for the next weather preset
    rgb: bool = False  # the window shows the simulator image: send that plane
    rgb_half: bool = False  # the renderer uses the simulator image as a guide: send it at half the size
    paused: bool = False  # hold the simulation
    real_time: bool = True  # keep real speed where frames are slow, by longer steps; else the world slows down
    quit: bool = False  # the driver has left; the bridge may end
    driver: Name = ""  # id of the sender, the same in all controls of a window
    leaving: bool = False  # the last control of this driver: another one may drive
    camera: Name = ""  # which of the ego's cameras to look through
    chart: str = ""  # name of the map whose chart has arrived; "?" for none yet, "" if no chart is requested
    going: Count = 0  # counts destinations
    goal: bool = False  # whether there is a destination
    goal_x: Number = 0.0  # m, of the newest destination
    goal_y: Number = 0.0
    mirror: bool = False  # the driver looks into the rear mirror: send its image
    wing_mirrors: bool = False  # ... into the wing mirrors: send theirs
    preset: Name = ""  # weather preset to apply when this changes
    minutes: Annotated[int, Meta(ge=0, le=1440)] = 0  # solar time, minutes after midnight; 0: the weather's own sun
    lights: LightBits = 0  # the lamps switched on by hand; the bridge adds brake and reversing lamps
    lights_auto: bool = True  # position lamps and low beams are on by themselves while it is dark
    size: tuple[Side, Side] | None = None  # px, of the camera's images: width, height; None: the bridge's own, its most
    repair: Count = 0  # counts requests to make the car whole again

    def mirrors(self) -> set[MirrorName]:
        """Return the names of the mirrors that the driver looks into."""
        wings: set[MirrorName] = {"left", "right"} if self.wing_mirrors else set()
        return wings | ({"rear"} if self.mirror else set())
