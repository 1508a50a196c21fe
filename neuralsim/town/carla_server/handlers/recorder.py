"""CARLA's server functions for recording and replay, and text reports about a recording."""

from typing import Any

import numpy as np

from neuralsim.town.carla_server import structs
from neuralsim.town.carla_server.compat import recorder
from neuralsim.town.carla_server.registry import accept, function
from neuralsim.town.carla_server.rpc import Call
from neuralsim.town.carla_server.town_server import TownServer

accept("set_replayer_ignore_spectator")  # a recording has no spectator

#: CARLA's numbers for the kinds of recorded actors.
KINDS = {"vehicle": 1, "walker": 2}
#: The letters by which ``show_recorder_collisions`` filters actors.
TYPE_PREFIXES = {"v": "vehicle.", "w": "walker.", "h": "", "t": "traffic.", "o": "", "a": ""}


@function
def start_recorder(town: TownServer, call: Call, name: str, additional_data: bool = False) -> str:
    return town.recorder.start(name)


@function
def stop_recorder(town: TownServer, call: Call) -> None:
    town.recorder.stop()


@function
def replay_file(
    town: TownServer, call: Call, name: str, start: float, duration: float, follow: int = 0, *more: Any
) -> str:
    """Replay a recording in the town where it was made, which is loaded if necessary."""
    recorded = str(recorder.read(recorder.path_of(name))[0]["map"])
    if recorded != town.world.name:
        town.load(recorded)
    with town.lock:
        return town.recorder.replay(name, structs.finite(start), structs.finite(duration))


@function
def stop_replayer(town: TownServer, call: Call, keep_actors: bool = False) -> None:
    town.recorder.stop_replay(bool(keep_actors))


@function
def set_replayer_time_factor(town: TownServer, call: Call, factor: float) -> None:
    town.recorder.speed = max(structs.finite(factor), 0.0)


@function
def set_replayer_ignore_hero(town: TownServer, call: Call, ignore: bool) -> None:
    town.recorder.ignore_hero = bool(ignore)


@function
def show_recorder_file_info(town: TownServer, call: Call, name: str, show_all: bool = False) -> str:
    """Describe a recording in the format of CARLA's server, which programs such as ScenarioRunner's metrics parse."""
    header, frames = recorder.read(recorder.path_of(name))
    lines = ["Version: 1", f"Map: {header['map']}", f"Date: {header['date']}", ""]
    count, before = 0, None
    for count, frame in enumerate(frames, 1):
        if show_all or frame.spawned or frame.destroyed or frame.collisions:
            lines.append(f"Frame {count} at {frame.time:.6g} seconds")
            for ident, kind, attributes in frame.spawned:
                place = _centimetres(frame.poses[ident])
                lines.append(f" Create {ident}: {kind} ({KINDS[kind.partition('.')[0]]}) at {place}")
                lines += [f"  {attribute} = {value}" for attribute, value in attributes.items()]
            lines += [f" Destroy {ident}" for ident in frame.destroyed]
            lines += [f" Collision id {k} between {pair[0]} with {pair[1]}" for k, pair in enumerate(frame.collisions)]
        if show_all:
            lines += _states(frame, before)
        before = frame
    last = before.time if before is not None else 0.0
    return "\n".join([*lines, "", f"Frames: {count}", f"Duration: {last:.6g} seconds"])


def _centimetres(pose: np.ndarray) -> str:
    return "({:.6g}, {:.6g}, {:.6g})".format(*(100.0 * float(value) for value in pose[:3]))


def _states(frame: recorder.RecordedFrame, before: recorder.RecordedFrame | None) -> list[str]:
    """Return lines about positions and velocities of all actors of a frame."""
    lines = [f" Positions: {len(frame.poses)}"]
    moving = [f" Dynamic actors: {len(frame.poses)}"]
    for ident, pose in frame.poses.items():
        _, _, _, pitch, yaw, roll, speed = (float(value) for value in pose)
        turn = 0.0
        if before is not None and ident in before.poses and frame.time > before.time:
            turn = ((yaw - float(before.poses[ident][4]) + 180.0) % 360.0 - 180.0) / (frame.time - before.time)
        lines.append(f"  Id: {ident} Location: {_centimetres(pose)} Rotation: ({roll:.6g}, {pitch:.6g}, {yaw:.6g})")
        x, y = speed * np.cos(np.radians(yaw)), speed * np.sin(np.radians(yaw))
        moving.append(f"  Id: {ident} linear_velocity: ({x:.6g}, {y:.6g}, 0) angular_velocity: (0, 0, {turn:.6g})")
    return lines + moving


@function
def show_recorder_collisions(town: TownServer, call: Call, name: str, first: Any = "a", second: Any = "a") -> str:
    header, frames = recorder.read(recorder.path_of(name))
    prefixes = [TYPE_PREFIXES.get(_letter(letter), "") for letter in (first, second)]
    kinds: dict[int, str] = {0: "scenery"}
    lines = [f"Map: {header['map']}", f"Date: {header['date']}", "", f"{'Time':>10}  {'Id':>6} Actor 1 / Id Actor 2"]
    last = 0.0
    for frame in frames:
        last = frame.time
        kinds.update({ident: kind for ident, kind, _ in frame.spawned})
        for actor, other in frame.collisions:
            pair = kinds.get(actor, ""), kinds.get(other, "")
            if all(kind.startswith(prefix) for kind, prefix in zip(pair, prefixes, strict=True)):
                lines.append(f"{frame.time:>9.1f}s  {actor:>6} {pair[0]} / {other} {pair[1]}")
    return "\n".join([*lines, "", f"Duration: {last:.4g} seconds"])


@function
def show_recorder_actors_blocked(
    town: TownServer, call: Call, name: str, least_time: float, least_distance: float
) -> str:
    """Report vehicles that stayed within ``least_distance`` (cm, as in CARLA) for ``least_time`` (s) or longer."""
    header, frames = recorder.read(recorder.path_of(name))
    reach = max(structs.finite(least_distance), 0.0) / 100.0
    kinds: dict[int, str] = {}
    resting: dict[int, tuple[float, np.ndarray]] = {}  # since when and where
    blocked: list[tuple[float, int, float]] = []
    last = 0.0

    def leave(ident: int, now: float) -> None:
        since, _ = resting.pop(ident)
        if now - since >= least_time:
            blocked.append((since, ident, now - since))

    for frame in frames:
        last = frame.time
        kinds.update({ident: kind for ident, kind, _ in frame.spawned})
        for ident in frame.destroyed:
            if ident in resting:
                leave(ident, last)
        for ident, pose in frame.poses.items():
            if not kinds[ident].startswith("vehicle."):
                continue
            if ident in resting and float(np.linalg.norm(pose[:3] - resting[ident][1])) > reach:
                leave(ident, last)
            resting.setdefault(ident, (last, pose[:3].copy()))
    for ident in list(resting):
        leave(ident, last)
    lines = [f"Map: {header['map']}", f"Date: {header['date']}", "", f"{'Time':>10}  {'Id':>6} Actor  Duration"]
    lines += [f"{since:>9.1f}s  {ident:>6} {kinds[ident]}  {time:.1f}s" for since, ident, time in sorted(blocked)]
    return "\n".join([*lines, "", f"Duration: {last:.4g} seconds"])


def _letter(value: Any) -> str:
    return chr(value) if isinstance(value, int) and 0 < value < 128 else str(value)[:1]
