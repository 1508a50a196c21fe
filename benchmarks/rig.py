"""One session with several cameras against sessions of one camera: ``python -m benchmarks.rig`` prints a JSON line.

Each session is ``neuralsim town --painted`` in a process of its own, with CARLA's official client in synchronous mode
that awaits the generated images of each tick. The cameras look in all directions from one vehicle. Medians of rounds,
in each of which everything is measured, in another order each time:

``session``: rigs per second of one session with all cameras. ``separate``: of a session for each camera, all at the
same time. ``in_turn``: of these, one after another. ``to_separate``, ``to_in_turn``: ratios within a round.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import carla

from benchmarks.town import Session, served_town
from bridge.process.option_types import Positive
from bridge.process.options import Options, parse
from bridge.size import Size

PAINTED = (sys.executable, "-m", "neuralsim", "town", "--painted")
_WARM_UP = 5  # ticks
_Kinds = dict[str, Callable[[], float]]


def measure(cameras: int, size: Size, ticks: int, rounds: int) -> dict[str, list[float]]:
    """Return rigs per second of each round, by kind. Arguments are those of ``RigOptions``."""
    mounts = [
        ("rgb", carla.Transform(carla.Location(z=1.8), carla.Rotation(yaw=360.0 * number / cameras)))
        for number in range(cameras)
    ]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(cameras) as pool:
        clients = [stack.enter_context(served_town(command=PAINTED)) for _ in range(1 + cameras)]
        groups = [[mount] for mount in mounts]
        groups.insert(cameras // 2, mounts)  # amid them: older processes are slower on some machines
        sessions = [Session(client, of, *size) for client, of in zip(clients, groups, strict=True)]
        whole, single = sessions.pop(cameras // 2), sessions
        for session in (whole, *single):
            session.tick(_WARM_UP)
        kinds: _Kinds = {
            "session": lambda: _rate(ticks, lambda: whole.tick(ticks)),
            "separate": lambda: _rate(ticks, lambda: list(pool.map(lambda session: session.tick(ticks), single))),
            "in_turn": lambda: _rate(ticks, lambda: [session.tick(ticks) for session in single]),
        }
        rates: dict[str, list[float]] = {name: [] for name in kinds}
        for number in range(rounds):
            names = list(kinds)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                rates[name].append(kinds[name]())
        for session in (whole, *single):
            session.close()
    return rates


def _rate(ticks: int, run: Callable[[], object]) -> float:
    """Return ``ticks`` per second of ``run``."""
    start = time.perf_counter()
    run()
    return ticks / (time.perf_counter() - start)


class RigOptions(Options):
    """Several cameras of one session against sessions of one camera each."""

    cameras: Positive = 6
    """Cameras of the rig."""
    size: Size = Size(400, 224)
    """Of an image."""
    ticks: Positive = 30
    """Ticks of each measurement."""
    rounds: Positive = 5
    """Rounds."""


def main() -> None:
    """Run the command line."""
    options = parse(RigOptions, None, "python -m benchmarks.rig")
    rates = measure(options.cameras, options.size, options.ticks, options.rounds)
    result = {name: statistics.median(each) for name, each in rates.items()}
    for name in ("separate", "in_turn"):
        ratios = [own / other for own, other in zip(rates["session"], rates[name], strict=True)]
        result[f"to_{name}"] = statistics.median(ratios)
    print(json.dumps({name: round(value, 2) for name, value in result.items()}))


if __name__ == "__main__":
    main()
