"""A recorded drive as a scenario: the ego on its trajectory, and everybody whom it saw where they were.

What nobody drove by a script is told pose by pose (``follow_trajectory``). Of others only what was in view is known:
they are nowhere while they were out of sight for long. Poses that interpolation finds again are left out.
"""

from __future__ import annotations

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
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.recording.reading.sequential_reader import McapRecording
from scenarios.engine.loader import parse
from scenarios.language.problems import ScenarioError
from scenarios.language.schema import WeatherSpec

_GAP = 2.0  # s out of sight after which one is nowhere meanwhile
_JUMP = 60.0  # m/s, beyond which one was put elsewhere rather than driven there
_CLOSE = 0.02  # m that a pose which is left out may be off
_PER_DEGREE = 0.05  # m that a degree of heading counts as
_ACTORS, _RUNS, _CHANGES = 100, 30, 50  # of one scenario; of one actor's trajectories; of the weather
_MODEL3 = "vehicle.tesla.model3"  # that the bridge drives where it can choose
_BLUEPRINT = re.compile(r"(vehicle|walker)\.[\w.-]{1,50}")
_COLOUR = re.compile(r"\d{1,3},\d{1,3},\d{1,3}")
#: What stands for a road user whose blueprint was not recorded.
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
    """Where one was: ``poses`` of s, x, y, z (m, of the ground), yaw (degrees)."""

    tag: int = 0
    blueprint: str = ""
    color: str = ""
    poses: list[tuple[float, float, float, float, float]] = field(default_factory=list)

    def runs(self) -> list[np.ndarray]:
        """f64 (N, 5) of each stretch without a gap or a jump, the longest ones if there are too many."""
        poses = np.array(self.poses)
        seconds = np.diff(poses[:, 0])
        metres = np.linalg.norm(np.diff(poses[:, 1:3], axis=0), axis=1)
        ends = np.flatnonzero((seconds > _GAP) | (metres > _JUMP * np.maximum(seconds, 0.02))) + 1
        found = np.split(poses, ends)
        kept = sorted(range(len(found)), key=lambda k: -len(found[k]))[:_RUNS]
        return [found[k] for k in sorted(kept)]


def scenario_from(file: Path, out: Path) -> tuple[Path, int]:
    """Write the scenario of a recorded drive into the folder ``out``, its map beside it; returns its file and how many
    others are in it. Raises :class:`RecordingError`.
    """
    recording = McapRecording(file)
    name = _name(file)
    ego, others, first, weathers = _look(recording)
    town, seed, own = _town(recording)
    data = {
        "title": f"Drive {name}"[:80],
        "description": "Made of a recording: the ego and all whom it saw, where they were.",
        "town": town,
        "seed": seed,
        **_light(weathers),
        "duration": round(max(ego.poses[-1][0], 1.0 / recording.fps), 3),
        "fps": min(max(recording.fps, 5.0), 120.0),
        "camera": _camera(first),
        "ego": {**own, **_actor(ego)},
        "actors": list(_others(others)),
        "assert": [{"travels": {"least": round(0.9 * _length(ego), 1)}}],
    }
    try:
        text = _text(data)
        loaded = parse(out / f"{name}.yaml", text, recording.files)
        out.mkdir(parents=True, exist_ok=True)
        for attached, content in loaded.files.items():
            names.below(out, attached).write_bytes(content)
        target = names.below(out, f"{name}.yaml")
        target.write_text(text, encoding="utf-8")
    except (ScenarioError, ValueError) as error:
        raise RecordingError(f"{file} makes no scenario: {error}") from None
    except OSError as error:
        raise RecordingError(f"cannot write to {out}: {reason(error)}") from None
    return target, len(data["actors"])


def _name(file: Path) -> str:
    """The folder's for the recordings that R makes, else the file's: none that its content says."""
    name = file.resolve().parent.name if file.stem == "recording" else file.stem
    return name if names.FILE_NAME.fullmatch(name) else "drive"


def _look(recording: McapRecording) -> tuple[_Track, list[_Track], Frame, list[tuple[float, Frame]]]:
    """The ego, the others, the first frame, and the frames from which on there is other weather."""
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
        before = weathers[-1][1] if weathers else None
        if before is None or (frame.weather_name, frame.weather) != (before.weather_name, before.weather):
            weathers.append((now, frame))
        ego.poses.append((now, *_place(frame.ego.pose)))
        for seen in frame.objects:
            track = others.setdefault(seen.instance, _Track())
            track.tag, track.blueprint, track.color = seen.tag, seen.blueprint, seen.color
            ground = seen.pose.copy()
            ground[:3, 3] -= seen.extent[2] * seen.pose[:3, 2]
            track.poses.append((now, *_place(ground)))
    if not ego.poses:
        raise RecordingError(f"{recording.path} holds no whole frame")
    if ego.poses[-1][0] > 3600.0:
        raise RecordingError(f"{recording.path} is longer than an hour, which no scenario is")
    longest = sorted(others.values(), key=lambda track: -len(track.poses))
    return ego, longest[:_ACTORS], first, weathers


def _place(pose: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, z (m) and yaw (degrees) of a pose f64 (4, 4)."""
    x, y, z = pose[:3, 3].tolist()
    return x, y, z, degrees(atan2(pose[1, 0], pose[0, 0]))


def _town(recording: McapRecording) -> tuple[str, int, dict[str, Any]]:
    """Town and seed, and what the ego is: as the drive says, or the scenario that was recorded."""
    about = recording.about
    own: dict[str, Any] = {"blueprint": _MODEL3}
    if "town" not in about and (text := about.get("scenario_yaml", "")):
        try:
            scenario = parse(Path("scenario.yaml"), text, recording.files).scenario
        except ScenarioError as error:
            raise RecordingError(f"{recording.path} makes no scenario: {error}") from None
        own = {"blueprint": scenario.ego.blueprint} | ({"color": scenario.ego.color} if scenario.ego.color else {})
        return Path(scenario.town).name, scenario.seed, own
    seed = about.get("seed", "0")
    return Path(about.get("town", "oldtown")).name, int(seed) if re.fullmatch(r"\d{1,9}", seed) else 0, own


def _light(weathers: Sequence[tuple[float, Frame]]) -> dict[str, Any]:
    """The weather at the beginning, and its changes."""
    light: dict[str, Any] = {"weather": _weather(weathers[0][1])}
    changes = [{"when": {"time": now}, "weather": _weather(frame)} for now, frame in weathers[1:][-_CHANGES:]]
    return light | ({"changes": changes} if changes else {})


def _weather(frame: Frame) -> dict[str, Any]:
    spec: dict[str, Any] = {"preset": frame.weather_name} if frame.weather_name in WEATHERS else {}
    for name in _WEATHER:
        if name in frame.weather:
            low, high = (-90.0, 90.0) if "altitude" in name else (0.0, 360.0) if "azimuth" in name else (0.0, 100.0)
            value = frame.weather[name] % 360.0 if "azimuth" in name else frame.weather[name]
            spec[name] = round(min(max(value, low), high), 3)
    return spec


def _camera(frame: Frame) -> dict[str, Any]:
    """The first frame's camera, where it is at the ego."""
    camera = frame.camera
    at = np.linalg.inv(frame.ego.pose) @ camera.pose
    x, y, z = at[:3, 3].tolist()
    forward = at[:3, 0]
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
        if max(len(run) for run in track.runs()) < 2:  # in one frame: nobody would see it
            continue
        blueprint = track.blueprint
        if not _BLUEPRINT.fullmatch(blueprint):
            blueprint = _STAND_INS.get(Tag(track.tag) if track.tag in set(Tag) else Tag.CAR, _MODEL3)
        kind = "walker" if blueprint.startswith("walker.") else "vehicle"
        count[kind] = count.get(kind, 0) + 1
        paint = {"color": track.color} if kind == "vehicle" and _COLOUR.fullmatch(track.color) else {}
        yield {"name": f"{kind}_{count[kind]}", "blueprint": blueprint, **paint, **_actor(track)}


def _actor(track: _Track) -> dict[str, Any]:
    """Where it begins, and its steps: from each stretch to the next, nowhere in between."""
    steps: list[dict[str, Any]] = []
    runs = track.runs()
    for k, run in enumerate(runs):
        if run[0, 0] > 0.0:
            away = k == 0 or run[0, 0] - runs[k - 1][-1, 0] > _GAP
            steps += [{"vanish": True}] if away else []
            steps.append({"when": {"time": float(run[0, 0])}, "teleport": _spawn(run[0])})
        steps.append({"follow_trajectory": {"points": _thinned(run)}})
    return {"spawn": _spawn(runs[0][0]), "rails": True, "do": steps}


def _spawn(pose: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 2) for name, value in zip(("x", "y", "z", "yaw"), pose[1:], strict=True)}


def _thinned(run: np.ndarray, close: float = _CLOSE) -> list[list[float]]:
    """[s, x, y, yaw] of the poses f64 (N, 5) that the others are interpolated between, off by ``close`` m at most.

    Douglas and Peucker 1973, with the distance taken at the same moment instead of the nearest.
    """
    turned = np.degrees(np.unwrap(np.radians(run[:, 4])))
    values = np.column_stack([run[:, 1], run[:, 2], _PER_DEGREE * turned])
    keep = {0, len(run) - 1}
    parts = [(0, len(run) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        share = (run[first + 1 : last, :1] - run[first, 0]) / (run[last, 0] - run[first, 0])
        off = np.linalg.norm(values[first + 1 : last] - values[first] - share * (values[last] - values[first]), axis=1)
        worst = int(off.argmax())
        if off[worst] > close or abs(turned[last] - turned[first]) > 150.0:
            middle = first + 1 + worst if off[worst] > close else (first + last) // 2
            keep.add(middle)
            parts += [(first, middle), (middle, last)]
    return [[round(float(value), 3) for value in run[k, [0, 1, 2, 4]]] for k in sorted(keep)]


def _length(track: _Track) -> float:
    """M that it went."""
    return sum(float(np.linalg.norm(np.diff(run[:, 1:3], axis=0), axis=1).sum()) for run in track.runs())


def _text(data: dict[str, Any]) -> str:
    """As YAML. Raises ``ValueError`` for more than a scenario may have."""
    text: str = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=118, allow_unicode=True)
    if len(text.encode()) > limits.YAML_SIZE:
        raise ValueError("it is too long: cut it into shorter ones")
    return text
