"""Plays esmini's scenarios without pictures and tells how each ends, for ``compatibility.py``.

    python tools/esmini.py --port 2000 FILE.xosc ...

The town server at that port has their maps. A line of JSON for each file: ``file``, and either ``error`` or ``ended``,
``sim_seconds`` and ``by_itself``, whether it was over for what the file itself says.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import carla

from bridge.carla_client.ego_bridge import BridgeSettings, CarlaBridge
from bridge.process.lifetime import BridgeError
from scenarios.engine.director import Director
from scenarios.language.problems import ScenarioError
from scenarios.openscenario.reader import DURATION, LONGEST

FPS = 10.0  # ticks per simulated second, as in most of esmini's tests
SAME_END, SAME_SHARE = 1.0, 0.05  # s, and share of the time, by which an ending may differ from esmini's


def play(path: Path, client: carla.Client) -> dict[str, Any]:
    """How a scenario ends. Raises ``ScenarioError``, ``BridgeError`` and the client's ``RuntimeError``."""
    director = Director(path)
    client.set_timeout(120.0)  # a bridge that ends shortens it
    client.load_world(Path(director.loaded.town).stem)
    settings = {**director.settings(), "size": (32, 16), "fps": FPS, "more_cameras": {}, "planes": ("depth",)}
    with CarlaBridge(client, BridgeSettings(**settings), director) as bridge:
        while not bridge.over:
            bridge.drive()
            bridge.tick()
        result = bridge.result()
    asked = director.scenario.duration not in (DURATION, LONGEST)  # the file says when it is over
    over = asked or result["ended"].startswith("end") or director.scenario.duration == DURATION
    return {"ended": result["ended"], "sim_seconds": result["sim_seconds"], "by_itself": over}


def ends(tests: str) -> dict[str, list[float]]:
    """When scenarios end, seconds by file, as the texts that esmini's smoke tests look for in its log have it."""
    found: dict[str, list[float]] = {}
    for test in re.split(r"^    def ", tests, flags=re.M):
        name = re.search(r"resources/xosc/([\w.-]+\.xosc)", test)
        stops = re.findall(
            r"(\d+\.\d+)[.*]* (?:storyBoard runningState -> stop|(?:Stop|Quit)Condition: true(?:\\\\n|\$|')"
            r"|QuitCondition: true, delay: 0\.00)",
            test,
        )
        if name is not None and stops:
            found.setdefault(name[1], []).append(max(map(float, stops)))
    return found


def judge(played: dict[str, Any], expected: list[float] | None) -> tuple[str, str]:
    """Whether a scenario has ended as it should ("runs" or "fails"), and what was seen."""
    if "error" in played:
        return "fails", played["error"]
    at = played["sim_seconds"]
    said = f"ends at {at:.1f} s" if played["by_itself"] else f"does not end within {at:.0f} s"
    if expected is None:
        return ("runs" if played["by_itself"] else "fails"), said
    nearest = min(expected, key=lambda time: abs(time - at))
    same = abs(at - nearest) <= max(SAME_END, SAME_SHARE * nearest)
    return ("runs" if played["by_itself"] and same else "fails"), f"{said}; esmini's test: {nearest:g} s"


def main() -> None:
    parser = argparse.ArgumentParser(description="Play scenarios on a town server; tell how each ends.")
    parser.add_argument("--port", type=int, default=2000)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    options = parser.parse_args()
    client = carla.Client("127.0.0.1", options.port)
    for path in options.files:
        result: dict[str, Any] = {"file": path.name}
        try:
            result |= play(path, client)
        except (ScenarioError, BridgeError, RuntimeError) as error:
            result["error"] = str(error).rsplit(f"{path.name}:", 1)[-1].strip().splitlines()[0]
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
