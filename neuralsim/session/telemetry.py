"""Telemetry of a drive: one JSON line per displayed frame."""

import json
import math
import os
from pathlib import Path

from bridge.messages import Frame


class Telemetry:
    """Writes ``path``; every line is complete on disk when :meth:`write` returns. Raises ``OSError``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._file = target.open("w", encoding="utf-8", buffering=1)

    def write(self, frame: Frame) -> None:
        """Write one line, in metres, m/s, degrees and seconds; stamps are in ns of this host's monotonic clock."""
        ego, pose = frame.ego, frame.ego.pose
        line = {
            "sequence": frame.sequence,
            "sim_frame": frame.sim_frame,
            "sim_time": round(frame.sim_time, 4),
            "speed": round(ego.speed, 3),
            "x": round(float(pose[0, 3]), 3),
            "y": round(float(pose[1, 3]), 3),
            "z": round(float(pose[2, 3]), 3),
            "yaw": round(math.degrees(math.atan2(pose[1, 0], pose[0, 0])), 3),
            "throttle": round(ego.throttle, 3),
            "brake": round(ego.brake, 3),
            "steer": round(ego.steer, 3),
            "hand_brake": ego.hand_brake,
            "gear": ego.gear,
            "autopilot": ego.autopilot,
            "road": ego.road_id,
            "lane": ego.lane_id,
            "collisions": ego.collisions,
            "camera": frame.mount,
            "route_left": round(frame.route_left, 1),
            "weather": frame.weather_name,
            "control": frame.control_seq,
            "skipped": frame.skipped,
            "stamps": frame.stamps,
        }
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
