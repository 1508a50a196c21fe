"""The files of nuScenes' CAN bus expansion for one scene: pose, pedals, steering, IMU, route."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

_STEERING = 7.7  # rad, of the steering wheel at full lock: nuScenes' Renault Zoe
_PEDAL = {"throttle": 1000.0, "brake": 126.0}  # of ``vehicle_monitor`` at full pressure

Message = dict[str, Any]


def write(folder: Path, scene: str, poses: Sequence[tuple[int, np.ndarray, dict[str, Any]]]) -> None:
    """Write the messages of ``scene`` ("scene-0001").

    ``poses``: time (µs), pose f64 (4, 4) of the ego (right-handed, m) and its recorded state of each frame.
    """
    folder.mkdir(parents=True, exist_ok=True)
    times = np.array([time for time, _, _ in poses]) / 1e6
    places = np.array([pose[:3, 3] for _, pose, _ in poses])
    turns = Rotation.from_matrix(np.array([pose[:3, :3] for _, pose, _ in poses]))
    velocity = _rate(places, times)  # world
    acceleration = turns.inv().apply(_rate(velocity, times)) + turns.inv().apply([0.0, 0.0, 9.81])
    yaw_rate = _rate(np.unwrap(turns.as_euler("ZYX")[:, :1], axis=0), times)[:, 0]
    messages: dict[str, list[Message]] = {name: [] for name in _NAMES}
    for k, (time, pose, state) in enumerate(poses):
        x, y, z, w = turns[k].as_quat().tolist()
        steer, throttle, brake = (float(state.get(name, 0.0)) for name in ("steer", "throttle", "brake"))
        speed = float(np.linalg.norm(velocity[k]))
        rotation = [0.0, 0.0, float(yaw_rate[k])]
        wheel = -_STEERING * steer  # positive to the left
        accel = acceleration[k].tolist()
        forward = [speed, 0.0, 0.0]
        common = {"utime": time}
        messages["pose"].append(
            {"accel": accel, "orientation": [w, x, y, z], "pos": pose[:3, 3].tolist(), "rotation_rate": rotation,
             "vel": forward, **common}
        )  # fmt: skip
        messages["ms_imu"].append({"linear_accel": accel, "q": [w, x, y, z], "rotation_rate": rotation, **common})
        messages["steeranglefeedback"].append({"value": wheel, **common})
        messages["zoesensors"].append(
            {"brake_sensor": brake, "steering_sensor": -100.0 * steer, "throttle_sensor": throttle, **common}
        )
        messages["vehicle_monitor"].append(
            {"brake": _PEDAL["brake"] * brake, "brake_switch": 1 + (brake > 0), "gear_position": state.get("gear", 0),
             "steering": float(np.degrees(wheel)), "throttle": _PEDAL["throttle"] * throttle,
             "vehicle_speed": 3.6 * speed, "yaw_rate": float(np.degrees(yaw_rate[k])), "left_signal": 0,
             "right_signal": 0, **common}
        )  # fmt: skip
    for name, content in messages.items():
        _save(folder / f"{scene}_{name}.json", content)
    _save(folder / f"{scene}_route.json", places[:, :2].tolist())
    _save(folder / f"{scene}_meta.json", {name: _statistics(content) for name, content in messages.items()})


_NAMES = ("ms_imu", "pose", "steeranglefeedback", "vehicle_monitor", "zoesensors")


def _rate(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the rate of change of ``values`` (N, K) at ``times`` (N,)."""
    return np.gradient(values, times, axis=0) if len(times) > 1 else np.zeros_like(values)


def _statistics(messages: Sequence[Message]) -> dict[str, Any]:
    """Return the number of messages, their rate, and the range of each scalar."""
    seconds = (messages[-1]["utime"] - messages[0]["utime"]) / 1e6
    values: dict[str, Any] = {}
    for name, value in messages[0].items():
        if isinstance(value, int | float) and name != "utime":
            column = np.array([message[name] for message in messages], float)
            values[name] = {"min": column.min(), "max": column.max(), "mean": column.mean(), "std": column.std()}
    rate = (len(messages) - 1) / seconds if seconds else 0.0
    return {"message_count": len(messages), "message_freq": rate, "timespan": seconds, "var_stats": values}


def _save(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
