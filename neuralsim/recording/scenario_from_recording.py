"""Turn a recorded drive into a scenario: the ego on its trajectory, and all road users in view where they were.

Trajectories are given pose by pose (``follow_trajectory``). Other road users are known only while they are in view:
they vanish while they are out of sight for long. The ego never does: across a hole of the recording it drives on. Poses
that interpolation reproduces are left out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import asin, atan2, degrees
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bridge.messages import Frame
from bridge.process.presets import WEATHERS
from bridge.tags import Tag
from bridge.untrusted import limits, names
from neuralsim.base.failure import reason
from neuralsim.recording import RecordingError
from neuralsim.recording.holes import describe, holes
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.recording.reading.sequential_reader import McapRecording
from scenarios.engine.loader import parse
from scenarios.language.problems import ScenarioError
from scenarios.language.schema import WeatherSpec

_GAP = 2.0  # s out of sight after which a road user vanishes meanwhile
_JUMP = 60.0  # m/s beyond which a road user was teleported rather than driven
_TOLERANCE = 0.02  # m, error allowed for poses that are left out
_PER_DEGREE = 0.05  # m that a degree of heading counts as
_ACTORS, _RUNS, _CHANGES = 100, 30, 50  # most actors, trajectories per actor, weather changes
_MODEL3 = "vehicle.tesla.model3"  # the bridge's default vehicle
_BLUEPRINT = re.compile(r"(vehicle|walker)\.[\w.-]{1,50}")
_COLOUR = re.compile(r"\d{1,3},\d{1,3},\d{1,3}")
#: Blueprints for road users whose own was not recorded.
_STAND_INS = {
    Tag.PEDESTRIAN: "walker.pedestrian.0001",
    Tag.TRUCK: "vehicle.carlamotors.european_hgv",
    Tag.BUS: "vehicle.mitsubishi.fusorosa",
    Tag.MOTORCYCLE: "vehicle.kawasaki.ninja",
    Tag.BICYCLE: "vehicle.gazelle.omafiets",
}
_WEATHER = tuple(name for name in WeatherSpec.model_fields if name != "preset")


@dataclass
class _Track:
    """The track of a road user: ``poses`` of s, x, y, z (m, on the ground), yaw (degrees)."""

    tag: int = 0
    blueprint: str = ""
    color: str = ""
    poses: list[tuple[float, float, float, float, float]] = field(default_factory=list)

    def runs(self, gap: float = _GAP) -> list[np.ndarray]:
        """Return f64 (N, 5) for each run without ``gap`` seconds or a jump; the longest ones if there are too many."""
        poses = np.array(self.poses)
        seconds = np.diff(poses[:, 0])
        metres = np.linalg.norm(np.diff(poses[:, 1:3], axis=0), axis=1)
        ends = np.flatnonzero((seconds > gap) | (metres > _JUMP * np.maximum(seconds, 0.02))) + 1
        runs = np.split(poses, ends)
        longest = sorted(range(len(runs)), key=lambda k: -len(runs[k]))[:_RUNS]
        return [runs[k] for k in sorted(longest)]


def scenario_from(file: Path, out: Path) -> tuple[Path, int, str]:
    """Write the scenario of a recorded drive, and its map, into the folder ``out``, or as the file ``out`` (.yaml).

    Returns its file, the number of other road users, and a line about holes of the recording, "" for none. Raises
    :class:`RecordingError`.
    """
    recording = McapRecording(file)
    name = _name(file)
    if out.suffix.lower() in (".yaml", ".yml"):
        if not names.FILE_NAME.fullmatch(out.stem):
            raise RecordingError(f"{out.name} is no name for a scenario: choose letters, digits, - and _")
        name, out = out.stem, out.parent
    ego, others, first, weathers = _read(recording)
    town, seed, look = _town(recording)
    data = {
        "title": f"Drive {name}"[:80],
        "description": "Made from a recording: the ego and all road users in view, where they were.",
        "town": town,
        "seed": seed,
        **_weather_changes(weathers),
        "duration": round(max(ego.poses[-1][0], 1.0 / recording.fps), 3),
        "fps": min(max(recording.fps, 5.0), 120.0),
        "camera": _camera(first),
        "ego": {**look, **_actor(ego, np.inf)},
        "actors": list(_others(others)),
        "assert": [{"travels": _travels(ego)}],
    }
    try:
        text = _text(data)
        loaded = parse(out / f"{name}.yaml", text, recording.files)
        out.mkdir(parents=True, exist_ok=True)
        for attached, content in loaded.files.items():
            names.path_inside(out, attached).write_bytes(content)
        target = names.path_inside(out, f"{name}.yaml")
        target.write_text(text, encoding="utf-8")
    except (ScenarioError, ValueError) as error:
        raise RecordingError(f"{file} cannot be turned into a scenario: {error}") from None
    except OSError as error:
        raise RecordingError(f"cannot write to {out}: {reason(error)}") from None
    missing = describe(holes([pose[0] for pose in ego.poses]))
    return target, len(data["actors"]), missing


def _name(file: Path) -> str:
    """Return the folder's name for recordings made with the key R, else the file's, but no name from its content."""
    name = file.resolve().parent.name if file.stem == "recording" else file.stem
    return name if names.FILE_NAME.fullmatch(name) else "drive"


def _read(recording: McapRecording) -> tuple[_Track, list[_Track], Frame, list[tuple[float, Frame]]]:
    """Return the ego, the others, the first frame, and (s, frame) for each change of the weather."""
    ego, others = _Track(), dict[int, _Track]()
    with RecordingReader(recording.path) as reader:
        first = frame_of(reader.read(reader.first))
    weathers: list[tuple[float, Frame]] = []
    begin = None
    for recorded in recording.frames({"/ego", "/control", "/objects", "/tf", "/camera/calibration"}):
        frame = frame_of(recorded)
        begin = frame.sim_time if begin is None else begin
        now = round(frame.sim_time - begin, 4)
        if ego.poses and now <= ego.poses[-1][0]:
            continue
        last = weathers[-1][1] if weathers else None
        if last is None or (frame.weather_name, frame.weather) != (last.weather_name, last.weather):
            weathers.append((now, frame))
        ego.poses.append((now, *_position(frame.ego.pose)))
        for moving in (each for each in frame.objects if not each.parked):
            track = others.setdefault(moving.instance, _Track())
            track.tag, track.blueprint, track.color = moving.tag, moving.blueprint, moving.color
            ground = moving.pose.copy()
            ground[:3, 3] -= moving.extent[2] * moving.pose[:3, 2]
            track.poses.append((now, *_position(ground)))
    if not ego.poses:
        raise RecordingError(f"{recording.path} holds no complete frame")
    if ego.poses[-1][0] > 3600.0:
        raise RecordingError(f"{recording.path} is longer than an hour, too long for a scenario")
    longest = sorted(others.values(), key=lambda track: -len(track.poses))
    return ego, longest[:_ACTORS], first, weathers


def _position(pose: np.ndarray) -> tuple[float, float, float, float]:
    """Return x, y, z (m) and yaw (degrees) of a pose f64 (4, 4)."""
    x, y, z = pose[:3, 3].tolist()
    return x, y, z, degrees(atan2(pose[1, 0], pose[0, 0]))


def _town(recording: McapRecording) -> tuple[str, int, dict[str, Any]]:
    """Return the town, the seed and the ego's look: those of the drive, or of the recorded scenario."""
    about = recording.about
    look: dict[str, Any] = {"blueprint": _MODEL3}
    if "town" not in about and (text := about.get("scenario_yaml", "")):
        try:
            scenario = parse(Path("scenario.yaml"), text, recording.files).scenario
        except ScenarioError as error:
            raise RecordingError(f"{recording.path} cannot be turned into a scenario: {error}") from None
        look = {"blueprint": scenario.ego.blueprint} | ({"color": scenario.ego.color} if scenario.ego.color else {})
        return Path(scenario.town).name, scenario.seed, look
    seed = about.get("seed", "0")
    return Path(about.get("town", "oldtown")).name, int(seed) if re.fullmatch(r"\d{1,9}", seed) else 0, look


def _weather_changes(weathers: Sequence[tuple[float, Frame]]) -> dict[str, Any]:
    """Return the weather at the beginning, and its changes."""
    spec: dict[str, Any] = {"weather": _weather(weathers[0][1])}
    changes = [{"when": {"time": now}, "weather": _weather(frame)} for now, frame in weathers[1:][-_CHANGES:]]
    return spec | ({"changes": changes} if changes else {})


def _weather(frame: Frame) -> dict[str, Any]:
    spec: dict[str, Any] = {"preset": frame.weather_name} if frame.weather_name in WEATHERS else {}
    for name in _WEATHER:
        if name in frame.weather:
            low, high = (-90.0, 90.0) if "altitude" in name else (0.0, 360.0) if "azimuth" in name else (0.0, 100.0)
            value = frame.weather[name] % 360.0 if "azimuth" in name else frame.weather[name]
            spec[name] = round(min(max(value, low), high), 3)
    return spec


def _camera(frame: Frame) -> dict[str, Any]:
    """Return the first frame's camera, mounted relative to the ego."""
    camera = frame.camera
    relative = np.linalg.inv(frame.ego.pose) @ camera.pose
    x, y, z = relative[:3, 3].tolist()
    forward = relative[:3, 0]
    mount = {
        "x": round(min(max(x, -30.0), 30.0), 3),
        "y": round(min(max(y, -30.0), 30.0), 3),
        "z": round(min(max(z, 0.0), 50.0), 3),
        "pitch": round(degrees(asin(min(max(float(forward[2]), -1.0), 1.0))), 2),
        "yaw": round(degrees(atan2(forward[1], forward[0])), 2),
    }
    return {"size": f"{camera.width}x{camera.height}", "fov": round(camera.fov, 3), "mount": mount}


def _others(tracks: Sequence[_Track]) -> Iterator[dict[str, Any]]:
    count: dict[str, int] = {}
    for track in tracks:
        if max(len(run) for run in track.runs()) < 2:  # in a single frame: too short to notice
            continue
        blueprint = track.blueprint
        if not _BLUEPRINT.fullmatch(blueprint):
            blueprint = _STAND_INS.get(Tag(track.tag) if track.tag in set(Tag) else Tag.CAR, _MODEL3)
        kind = "walker" if blueprint.startswith("walker.") else "vehicle"
        count[kind] = count.get(kind, 0) + 1
        colour = {"color": track.color} if kind == "vehicle" and _COLOUR.fullmatch(track.color) else {}
        yield {"name": f"{kind}_{count[kind]}", "blueprint": blueprint, **colour, **_actor(track)}


def _actor(track: _Track, gap: float = _GAP) -> dict[str, Any]:
    """Return an actor's spawn and steps: from each run to the next, vanished in between if that takes ``gap`` s."""
    steps: list[dict[str, Any]] = []
    runs = track.runs(gap)
    for k, run in enumerate(runs):
        if run[0, 0] > 0.0:
            is_away = k == 0 or run[0, 0] - runs[k - 1][-1, 0] > gap
            steps += [{"vanish": True}] if is_away else []
            steps.append({"when": {"time": float(run[0, 0])}, "teleport": _spawn(run[0])})
        steps.append({"follow_trajectory": {"points": _thin_out(run)}})
    return {"spawn": _spawn(runs[0][0]), "rails": True, "do": steps}


def _spawn(pose: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 2) for name, value in zip(("x", "y", "z", "yaw"), pose[1:], strict=True)}


def _thin_out(run: np.ndarray, tolerance: float = _TOLERANCE) -> list[list[float]]:
    """Return [s, x, y, yaw] of those poses f64 (N, 5) from which the others can be interpolated within ``tolerance`` m.

    Douglas and Peucker 1973, with the distance taken at the same moment instead of to the nearest point.
    """
    yaw = np.degrees(np.unwrap(np.radians(run[:, 4])))
    values = np.column_stack([run[:, 1], run[:, 2], _PER_DEGREE * yaw])
    keep = {0, len(run) - 1}
    parts = [(0, len(run) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        share = (run[first + 1 : last, :1] - run[first, 0]) / (run[last, 0] - run[first, 0])
        error = np.linalg.norm(
            values[first + 1 : last] - values[first] - share * (values[last] - values[first]), axis=1
        )
        worst = int(error.argmax())
        if error[worst] > tolerance or abs(yaw[last] - yaw[first]) > 150.0:
            middle = first + 1 + worst if error[worst] > tolerance else (first + last) // 2
            keep.add(middle)
            parts += [(first, middle), (middle, last)]
    return [[round(float(value), 3) for value in run[k, [0, 1, 2, 4]]] for k in sorted(keep)]


def _travels(ego: _Track) -> dict[str, float]:
    """Return limits for the distance that the ego travels, m; a teleport counts as travelled."""
    driven = sum(float(np.linalg.norm(np.diff(run[:, 1:3], axis=0), axis=1).sum()) for run in ego.runs(np.inf))
    leaps = float(np.linalg.norm(np.diff(np.array(ego.poses)[:, 1:3], axis=0), axis=1).sum())
    return {"least": round(0.9 * driven, 1), "most": round(1.1 * leaps + 2.0, 1)}


def _text(data: dict[str, Any]) -> str:
    """Return the scenario as YAML. Raises ``ValueError`` where it is too long."""
    text: str = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=118, allow_unicode=True)
    if len(text.encode()) > limits.YAML_SIZE:
        raise ValueError("it is too long: split the recording")
    return text
