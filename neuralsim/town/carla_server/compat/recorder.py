"""Recording and replay of a town's vehicles and walkers: CARLA's recorder with its own file format.

A file is a zlib stream of msgpack values: a header, then one value per frame: time (s), spawned actors (id, blueprint,
attributes), ids of destroyed actors, poses (f32 (N, 7), rows in order of spawning: x, y, z, pitch, yaw, roll, speed),
collisions (actor, other). All files lie in ``folder()``, whatever path a client gives, under that path.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgpack
import numpy as np

from neuralsim.town.core.types import Actor, Transform

if TYPE_CHECKING:
    from neuralsim.town.world import World

FORMAT = "neuralsim town recording 1"
MAX_FILE_BYTES = 1 << 30  # bytes of a recording
MAX_FRAME_BYTES = 64 << 20


def folder() -> Path:
    """Return the folder of all recordings."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "neuralsim" / "recorder"


def path_of(name: str) -> Path:
    """Return the file of a recording named by a client. Raise ``ValueError`` for an unsuitable name.

    The path's last folders are kept below ``folder()``: two recordings of one name in two folders are two files.
    """
    parts = [part for part in re.split(r"[\\/]", re.sub(r"^[A-Za-z]:", "", name)) if part.strip(". ")]
    if not parts or not all(re.fullmatch(r"[\w.\- ]{1,100}", part) for part in parts[-8:]):
        raise ValueError(f"{name!r} is not a valid name for a recording: use letters, digits, dots and dashes")
    return folder().joinpath(*parts[-8:])


@dataclass
class RecordedFrame:
    """One frame of a recording; ``poses`` by actor id, f32 (7,)."""

    time: float
    spawned: list[list[Any]]  # id, blueprint, attributes
    destroyed: list[int]
    poses: dict[int, np.ndarray]
    collisions: list[list[int]] = field(default_factory=list)


def read(path: Path) -> tuple[dict[str, Any], Iterator[RecordedFrame]]:
    """Return the header and the frames of a file; the frames of a truncated file end early.

    Raise ``ValueError`` for a missing file or one in another format.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ValueError(f"cannot read the recording {path.name!r}: {(error.strerror or 'error').lower()}") from None
    values = _values(file)
    header = next(values, None)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        file.close()
        raise ValueError(f"{path.name!r} is not a recording of the town")
    return header, _frames(values)


def _values(file: BinaryIO) -> Iterator[Any]:
    unpacker = msgpack.Unpacker(max_buffer_size=MAX_FRAME_BYTES)
    inflate = zlib.decompressobj()
    with file:
        while chunk := file.read(1 << 16):
            try:
                unpacker.feed(inflate.decompress(chunk, MAX_FRAME_BYTES))
                yield from unpacker
            except (zlib.error, ValueError, msgpack.UnpackException):
                return


def _frames(values: Iterator[Any]) -> Iterator[RecordedFrame]:
    order: list[int] = []
    for time, spawned, destroyed, poses, collisions in values:
        order = [ident for ident in order if ident not in destroyed] + [actor[0] for actor in spawned]
        rows = np.frombuffer(poses, "<f4").reshape(-1, 7)
        yield RecordedFrame(time, spawned, destroyed, dict(zip(order, rows, strict=True)), collisions)


class Recorder:
    """Records and replays a world, possibly at the same time; starting either again replaces the previous one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.speed, self.ignore_hero = 1.0, False
        self._file: BinaryIO | None = None
        self._deflate = zlib.compressobj(6)
        self._recorded: dict[int, Actor] = {}
        self._start = 0.0
        self._written = 0
        self._replay: Iterator[RecordedFrame] | None = None
        self._pair: tuple[RecordedFrame, RecordedFrame] | None = None
        self._now, self._end = 0.0, np.inf
        self._replayed: dict[int, int] = {}  # id in the recording -> id in the world
        self._spawned: set[int] = set()  # actors spawned by the replay

    # Recording ----------------------------------------------------------------------------------------------------

    def start(self, name: str) -> str:
        """Begin a recording; return its path."""
        self.stop()
        path = path_of(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
        except OSError as error:
            raise ValueError(f"cannot write {path}: {(error.strerror or 'error').lower()}") from None
        self._deflate, self._recorded, self._written = zlib.compressobj(6), {}, 0
        self._start = self.world.time
        self._write({"format": FORMAT, "map": self.world.name, "date": datetime.now().isoformat(" ", "seconds")})
        self.after()
        return str(path)

    def stop(self) -> None:
        """End the recording, if any."""
        if self._file is not None:
            file, self._file = self._file, None
            file.write(self._deflate.flush())
            file.close()

    def after(self) -> None:
        """Record the frame after a tick."""
        if self._file is None:
            return
        actors = {k: a for k, a in self.world.actors.items() if a.blueprint.id.startswith(("vehicle.", "walker."))}
        spawned = [[k, a.blueprint.id, a.attributes] for k, a in actors.items() if k not in self._recorded]
        destroyed = [k for k in self._recorded if k not in actors]
        order = [k for k in self._recorded if k in actors] + [k for k in actors if k not in self._recorded]
        self._recorded = {k: actors[k] for k in order}
        poses = np.array([_row(actor) for actor in self._recorded.values()], "<f4").reshape(-1, 7)
        collisions = [[int(event.actor), int(event.other)] for event in self.world.events()]
        self._write([self.world.time - self._start, spawned, destroyed, poses.tobytes(), collisions])
        if self._written > MAX_FILE_BYTES:
            self.stop()

    def _write(self, value: Any) -> None:
        assert self._file is not None
        data = self._deflate.compress(msgpack.packb(value))
        self._written += len(data)
        try:
            self._file.write(data)
        except OSError:  # the disk is full: what was written so far can be replayed
            self._file = None

    # Replay -------------------------------------------------------------------------------------------------------

    def replay(self, name: str, start: float, duration: float) -> str:
        """Replay recorded actors; return a message. ``start`` and ``duration`` in s, a negative start from the end."""
        self.stop_replay(keep=False)
        path = path_of(name)
        header, frames = read(path)
        if header["map"] != self.world.name:
            raise ValueError(f"{path.name!r} was recorded in {header['map']}: load that town first")
        if start < 0.0:
            start += max((frame.time for frame in read(path)[1]), default=0.0)
        self._now, self._end = max(start, 0.0), max(start, 0.0) + duration if duration > 0.0 else np.inf
        first = next(frames, None)
        second = None if first is None else next(frames, None)
        if first is None or second is None:
            raise ValueError(f"{path.name!r} is empty")
        self._replay, self._pair = frames, (first, second)
        self._update_actors(first)
        self._update_actors(second)
        return f"Replaying File: {path}\nFrom {self._now:g} s"

    def stop_replay(self, keep: bool) -> None:
        """End the replay. ``keep``: whether the actors that it spawned stay where they are; else they are destroyed."""
        self._replay, self._pair = None, None
        for ident in self._replayed.values():
            if ident in self.world.actors:
                self.world.set_physics(ident, True)
                if not keep and ident in self._spawned:
                    self.world.destroy(ident)
        self._replayed.clear()
        self._spawned.clear()

    def before(self, delta: float) -> None:
        """Move replayed actors to where they are at the end of the next step of ``delta`` s."""
        if self._replay is None or self._pair is None:
            return
        self._now += delta * self.speed
        earlier, later = self._pair
        while later.time < self._now:
            following = next(self._replay, None)
            if following is None:
                self._move_actors(later, later, 1.0)
                self.stop_replay(keep=True)
                return
            earlier, later = later, following
            self._update_actors(later)
        self._pair = earlier, later
        self._move_actors(earlier, later, (self._now - earlier.time) / max(later.time - earlier.time, 1e-9))
        if self._now >= self._end:
            self.stop_replay(keep=True)

    def _update_actors(self, frame: RecordedFrame) -> None:
        """Find or spawn the actors that appear in this frame; destroy those that disappear."""
        for ident in frame.destroyed:
            here = self._replayed.pop(ident, None)
            if here in self._spawned:
                self._spawned.discard(here)
                self.world.destroy(here)
        for ident, kind, attributes in frame.spawned:
            if self.ignore_hero and attributes.get("role_name") == "hero":
                continue
            actor = self.world.actors.get(ident)
            if actor is None or actor.blueprint.id != kind:
                try:
                    actor = self.world.spawn(kind, attributes, _transform(frame.poses[ident]))
                except ValueError:
                    continue  # the place is occupied: this actor is left out
                self._spawned.add(actor.id)
            self._replayed[ident] = actor.id
            if kind.startswith("vehicle."):
                self.world.drive_of(actor.id)
                self.world.set_physics(actor.id, False)

    def _move_actors(self, earlier: RecordedFrame, later: RecordedFrame, share: float) -> None:
        """Move actors to their poses ``share`` (0 to 1) of the way between two frames."""
        for ident, here in self._replayed.items():
            a, b = earlier.poses.get(ident), later.poses.get(ident)
            if b is None or here not in self.world.actors:
                continue
            pose = b.copy()
            if a is not None:
                turn = (b[3:6] - a[3:6] + 180.0) % 360.0 - 180.0
                pose[:3], pose[3:6] = a[:3] + share * (b[:3] - a[:3]), a[3:6] + share * turn
            self.world.set_transform(here, _transform(pose))
            yaw = np.radians(pose[4])
            self.world.actors[here].velocity[:] = float(pose[6]) * np.array([np.cos(yaw), np.sin(yaw), 0.0])


def _row(actor: Actor) -> list[float]:
    pose = actor.transform
    yaw = np.radians(pose.yaw)
    speed = float(actor.velocity[0] * np.cos(yaw) + actor.velocity[1] * np.sin(yaw))
    return [pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll, speed]


def _transform(row: np.ndarray) -> Transform:
    return Transform(*(float(value) for value in row[:6]))
