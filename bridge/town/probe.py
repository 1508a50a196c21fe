"""A trial reading of a map file in a process of its own.

`carla.Map` is native code that does not survive every damaged file (a controller of a signal that is not there, for
one). The town must: it lets another process try first. ``python -m bridge.town.probe FILE`` exits 0 when the map is
usable.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PATIENCE = 120.0  # s


def try_map(path: Path) -> None:
    """Read a map elsewhere. Raises ValueError with the reason when that fails, takes too long or kills the reader."""
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    environment = dict(os.environ, PYTHONPATH=root + (os.pathsep + known if known else ""))
    command = [sys.executable, "-m", "bridge.town.probe", str(path)]
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"{path}: CARLA's map reader needs more than {PATIENCE:.0f} s for it: choose a smaller map"
        ) from None
    if result.returncode == 1 and result.stdout.strip():
        raise ValueError(result.stdout.strip().splitlines()[-1])
    if result.returncode:
        raise ValueError(
            f"{path}: CARLA's map reader breaks down over it: repair the file (roads, links, signal references)"
        )


def main(path: Path) -> int:
    from bridge.town.network import Network  # here, so that `try_map` does not load it

    try:
        Network(path.stem, path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
