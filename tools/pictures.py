"""The pictures of ``towns.md``: ``python tools/pictures.py [--neural] [TOWN ...]`` from the repository's root.

Writes docs/img/towns/TOWN_map.png (lanes with road ids) and TOWN.png (tags above, the shaded view below): small palette
images. With ``--neural`` also what the shipped model paints there, TOWN_neural.jpg, and for all towns
docs/img/painted.jpg, tags and pictures of one place in three lights. ``--control`` writes docs/img/guided.jpg,
weathers.jpg, presets.jpg, edits.jpg and dashcam.jpg alone: what ``control.md`` shows.
"""

from __future__ import annotations

import argparse
import struct
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

import carla
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bridge.carla_client.weather import preset_values
from bridge.messages import Camera, Frame
from bridge.process.presets import WEATHERS as WEATHERS_OF_CARLA
from bridge.tags import COLOURS
from bridge.weather import FAIR_WEATHER
from neuralsim.guide import Guide
from neuralsim.renderer.remap import Remap
from neuralsim.town.core.types import Transform
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.opendrive.network import Network
from neuralsim.town.opendrive.towns import TOWNS, load
from neuralsim.town.town_drive import TownDrive
from neuralsim.town.world import World

ROOT = Path(__file__).resolve().parents[1]
OUT, PREVIEWS = ROOT / "docs" / "img" / "towns", ROOT / "neuralsim" / "drive" / "town_previews"
WIDTH, HEIGHT, FOV = 512, 256, 70.0
LEAD = 10  # frames before the one that is kept: the generator sees its own past
STEP = 0.35  # m that the camera moves a frame
STYLES = ("clear", "overcast", "aachen")
#: Where the two pictures of a town are taken: road, lane, metres along the road.
PLACES = {
    "oldtown": ((16, -1, 30.0), (9, 1, 60.0)),
    "hamlet": ((2, -1, 20.0), (6, 1, 40.0)),
    "suburb": ((12, 1, 120.0), (20, -1, 60.0)),
    "village": ((1, -1, 40.0), (9, -1, 150.0)),
    "motorway": ((112, -2, 90.0), (32, -1, 100.0)),
}
#: Which of them the menu shows, the first by default.
PREVIEW = {"oldtown": 1, "village": 1}
#: Where the pictures of what the guide is worth are taken: town, and which of its places.
GUIDED = (("oldtown", 0), ("suburb", 0), ("village", 1))
#: One place in these: CARLA's presets by name, and a fog, of which CARLA has none.
WEATHERS: dict[str, dict[str, float]] = {
    "ClearNoon": {}, "CloudyNoon": {}, "WetNoon": {}, "HardRainNoon": {}, "ClearSunset": {}, "ClearNight": {},
    "WetCloudyNight": {}, "CloudyNoon, fog_density 55": {"fog_density": 55.0},
}  # fmt: skip
REMAPS = ("", "buildings=vegetation", "vegetation=buildings", "roads=terrain,road-lines=terrain,sidewalks=terrain")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("towns", nargs="*", metavar="TOWN", help=f"all of {', '.join(TOWNS)} by default")
    parser.add_argument("--neural", action="store_true", help="also what the shipped model paints")
    parser.add_argument("--control", action="store_true", help="only the pictures of control.md")
    options = parser.parse_args()
    if options.control:
        pictures = {"guided": guided, "weathers": weathers, "presets": presets, "edits": edits, "dashcam": dashcam}
        for name, picture in pictures.items():
            write_jpg(OUT.parent / f"{name}.jpg", picture())
        return 0
    unknown = sorted(set(options.towns) - set(TOWNS))
    if unknown:
        parser.error(f"unknown town {unknown[0]!r}: choose {', '.join(TOWNS)}")
    OUT.mkdir(parents=True, exist_ok=True)
    for town in options.towns or TOWNS:
        write_png(OUT / f"{town}_map.png", map_of(Network(*load(town))))
        shots = [shoot(town, *place) for place in PLACES[town]]
        rows = [COLOURS[frame.planes["tag"]] for frames in shots for frame in frames[-1:]]
        shaded = [frames[-1].planes["rgb"] for frames in shots]
        write_png(OUT / f"{town}.png", smaller(np.concatenate([np.hstack(rows), np.hstack(shaded)])))
        if options.neural:
            generated = [rendered(frames, "day") for frames in shots]
            write_jpg(OUT / f"{town}_neural.jpg", np.hstack(generated))
            write_jpg(PREVIEWS / f"{town}.jpg", generated[PREVIEW.get(town, 0)])
        print(town)
    if options.neural and not options.towns:
        frames = shoot("oldtown", *PLACES["oldtown"][0])
        tags = COLOURS[frames[-1].planes["tag"]]
        write_jpg(OUT.parent / "painted.jpg", np.vstack([np.hstack([tags, rendered(frames, each)]) for each in STYLES]))
    return 0


def shoot(town: str, road: int, lane: int, s: float, weather: Mapping[str, float] | None = None) -> list[Frame]:
    """Frames of a camera that comes to a place along its lane, with traffic around."""
    world = World(town, 0, 40, 30)
    world.weather.update(weather or {})
    lens = {"image_size_x": str(WIDTH), "image_size_y": str(HEIGHT), "fov": str(FOV)}
    waypoint = world.map.get_waypoint_xodr(road, lane, s)
    if waypoint is None:
        raise ValueError(f"{town} has no place {road}:{lane}:{s:g}")
    pose = waypoint.transform
    yaw = np.radians(pose.rotation.yaw)
    camera = world.spawn("sensor.camera.rgb", lens, Transform())
    for _ in range(200):
        world.tick(0.05)
    frames = []
    for k in range(LEAD + 1):
        back = (LEAD - k) * STEP
        x, y = pose.location.x - back * np.cos(yaw), pose.location.y - back * np.sin(yaw)
        world.tick(0.05)
        eye = Transform(float(x), float(y), pose.location.z + 1.45, pose.rotation.pitch, pose.rotation.yaw)
        world.set_transform(camera.id, eye)
        planes = world.capture(camera.id, "rgb")
        kept = {"tag": planes.tag, "instance": planes.instance, "depth": planes.depth, "rgb": planes.rgb}
        copies = {name: np.array(plane) for name, plane in kept.items()}
        copies["motion"] = planes.motion.astype(np.float16)
        view = Camera(WIDTH, HEIGHT, FOV, eye.matrix())
        there = dict(world.weather)
        frames.append(Frame(sequence=k, sim_frame=k, sim_time=world.time, camera=view, planes=copies, weather=there))
    return frames


def guided() -> np.ndarray:
    """For each of ``GUIDED``: the simulator's picture, generated from the surface alone, and following that image."""
    rows = []
    for town, place in GUIDED:
        frames = shoot(town, *PLACES[town][place])
        both = [rendered(frames, "overcast", guide) for guide in ("surface", "picture")]
        rows.append(np.hstack([frames[-1].planes["rgb"], *both]))
    return np.vstack(rows)


def weathers() -> np.ndarray:
    """One place in each of ``WEATHERS``."""
    shown = []
    for name, more in WEATHERS.items():
        preset = getattr(carla.WeatherParameters, name.partition(",")[0])
        weather = {field: float(getattr(preset, field)) for field in FAIR_WEATHER} | more
        picture = rendered(shoot("oldtown", *PLACES["oldtown"][1], weather), None)
        shown.append(captioned(picture, name))
    return tiled(shown)


def presets() -> np.ndarray:
    """A contact sheet: one place in every one of CARLA's presets."""
    shown = []
    for name in WEATHERS_OF_CARLA:
        weather = preset_values(name)
        shown.append(captioned(rendered(shoot("oldtown", *PLACES["oldtown"][0], weather), None), name))
    blank = np.zeros_like(shown[0])
    return tiled(shown + [blank] * (-len(shown) % 4), 4)


def edits() -> np.ndarray:
    """One place with classes rendered as others, by each of ``REMAPS``."""
    frames = shoot("hamlet", *PLACES["hamlet"][0])
    return tiled([captioned(rendered(frames, None, remap=remap), remap or "unchanged") for remap in REMAPS])


def dashcam() -> np.ndarray:
    """Four places of a drive through heavy rain, as a dashboard camera films them."""
    from neuralsim.renderer.neural_renderer import NeuralRenderer

    drive = TownDrive(2 * WIDTH, 2 * HEIGHT, seed=5, town="oldtown", weather=preset_values("HardRainNoon"))
    renderer = NeuralRenderer("street-rt", dashcam=True)
    drive.ride(among_people=True)
    shown = []
    for _ in range(4):
        drive.skip(233)
        renderer.reset()
        for frame in (drive.next_frame(colour="rgb") for _ in range(LEAD)):
            renderer.follow(frame.weather)
            picture = renderer.render(frame)
        shown.append(picture)
    return cv2.resize(tiled(shown), None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)


def tiled(images: list[np.ndarray], columns: int = 2) -> np.ndarray:
    """That many in a row."""
    return np.vstack([np.hstack(images[k : k + columns]) for k in range(0, len(images), columns)])


def captioned(picture: np.ndarray, words: str) -> np.ndarray:
    """With words in its lower left corner."""
    for colour, x, y in (((0, 0, 0), 9, HEIGHT - 8), ((255, 255, 255), 8, HEIGHT - 9)):
        cv2.putText(picture, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
    return picture


def rendered(frames: list[Frame], style: str | None, guide: Guide = "picture", remap: str = "") -> np.ndarray:
    """The last of some frames as the shipped model paints it, u8 (H, W, 3); ``style`` None: by their weather."""
    from neuralsim.renderer.neural_renderer import NeuralRenderer

    renderer = NeuralRenderer("street-rt", size=(WIDTH, HEIGHT), style=style, guide=guide)
    renderer.set_remap(Remap.parse(remap))
    picture = frames[0].planes["rgb"]
    for frame in frames:
        if style is None:
            renderer.follow(frame.weather)
        picture = renderer.render(frame)
    return np.array(picture)


def map_of(network: Network) -> np.ndarray:
    """A map seen from above, north up, with the ids of the roads outside junctions; u8 (H, W, 3)."""
    points = np.concatenate([lane.centre[:, :2] for lane in network.lanes])
    low, high = points.min(0) - 45.0, points.max(0) + 45.0
    scale = max(720.0 / float((high - low).max()), 0.72)  # pixels per metre
    shape = np.ceil((high - low) * scale).astype(int)
    picture = np.full((shape[1], shape[0], 3), 244, np.uint8)

    def draw(lane: Lane, colour: tuple[int, int, int]) -> None:
        outline = np.concatenate([lane.left[:, :2], lane.right[::-1, :2]])
        cv2.fillPoly(picture, [np.round((outline - low) * scale * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)

    tints = {"town": (120, 120, 124), "rural": (150, 132, 108), "motorway": (84, 108, 150)}
    for lane in network.lanes:
        draw(lane, tints[lane.road_type])
    named: dict[int, np.ndarray] = {}
    for lane in network.lanes:
        if lane.junction < 0:
            k = len(lane.centre) // 2
            aside = (lane.right - lane.left)[k, :2] / max(float(lane.width[k]), 0.1)
            away = 14.0 / scale if lane.road_type == "motorway" else 0.0  # carriageways lie side by side
            named[lane.road] = lane.centre[k, :2] + aside * away
    for road, place in named.items():
        x, y = ((place - low) * scale).astype(int).tolist()
        (wide, tall), _ = cv2.getTextSize(str(road), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
        cv2.rectangle(picture, (x - wide // 2 - 2, y - tall), (x + wide // 2 + 2, y + 5), (255, 255, 255), -1)
        origin = x - wide // 2, y + tall // 2
        cv2.putText(picture, str(road), origin, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (150, 20, 20), 1, cv2.LINE_AA)
    metres = 100.0 * scale
    cv2.line(picture, (10, shape[1] - 10), (10 + int(metres), shape[1] - 10), (20, 20, 20), 2)
    cv2.putText(picture, "100 m", (14, shape[1] - 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (20, 20, 20), 1, cv2.LINE_AA)
    return picture


def smaller(picture: np.ndarray) -> np.ndarray:
    """Three quarters of the size."""
    shrunk = cv2.resize(picture, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def write_jpg(path: Path, picture: np.ndarray) -> None:
    """An RGB picture u8 (H, W, 3) as a JPEG."""
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def write_png(path: Path, picture: np.ndarray, colours: int = 64) -> None:
    """An RGB picture u8 (H, W, 3) as a palette PNG (the colours by k-means)."""
    pixels = picture.reshape(-1, 3).astype(np.float32)
    sample = pixels[:: max(1, len(pixels) // 20_000)]
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 12, 0.5)
    count = min(colours, len(np.unique(sample, axis=0)))
    palette = cv2.kmeans(sample, count, None, stop, 1, cv2.KMEANS_PP_CENTERS)[2]  # type: ignore[call-overload]
    index = np.concatenate(
        [((part[:, None] - palette[None]) ** 2).sum(-1).argmin(1) for part in np.array_split(pixels, 64)]
    ).astype(np.uint8)
    height, width = picture.shape[:2]
    rows = np.column_stack([np.zeros(height, np.uint8), index.reshape(height, width)])  # filter 0 before each row

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    table = np.round(palette).astype(np.uint8).tobytes()
    body = chunk(b"IHDR", header) + chunk(b"PLTE", table) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))


if __name__ == "__main__":
    sys.exit(main())
