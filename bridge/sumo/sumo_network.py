"""A SUMO network as an OpenDRIVE map, by SUMO's own netconvert."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from bridge.process.lifetime import BridgeError
from bridge.process.user_cache import cache_folder
from bridge.untrusted import files, limits, xml

_ELEMENTS, _DEPTH = 10_000, 20  # of a .sumocfg
_PATIENCE = 300.0  # s that a network may take


class SumoError(BridgeError):
    """SUMO, or what it was given, is not there or not right; one line."""


def program(name: str) -> str:
    """The path of one of SUMO's programs, of the wheel ``eclipse-sumo``. Raises ``SumoError`` without it."""
    try:
        import sumo
    except ModuleNotFoundError:
        raise SumoError('SUMO is missing: pip install "neuralsim[sumo]"') from None
    return str(Path(sumo.SUMO_HOME) / "bin" / name)


def network_of(config: Path) -> Path:
    """The network file that a .sumocfg names. Raises ``SumoError``."""
    try:
        root = xml.parse(files.read_text(config, limits.OPENSCENARIO_SIZE), _ELEMENTS, _DEPTH)
    except OSError as error:
        raise SumoError(f"{config}: {(error.strerror or 'cannot be read').lower()}") from None
    except ValueError as error:
        raise SumoError(f"{config}: {error}") from None
    for name in ("net-file", "net", "n"):  # SUMO's names for the same option
        for found in root.iter(name):
            if value := found.get("value"):
                return config.parent / value
    raise SumoError(f"{config}: it names no net-file; is it a SUMO configuration?")


def opendrive_of(config: Path) -> Path:
    """The network of a .sumocfg as an .xodr file, converted once and kept in the cache folder; netconvert keeps the
    network's coordinates (y to the north). Raises ``SumoError``."""
    network = network_of(config)
    try:
        digest = hashlib.sha256(network.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise SumoError(f"{network}: {(error.strerror or 'cannot be read').lower()}") from None
    folder = cache_folder() / "sumo"
    kept = folder / f"{network.name.partition('.')[0][:40]}-{digest}.xodr"
    if kept.exists():
        return kept
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / "map.xodr"
            call = [program("netconvert"), "-s", str(network), "--opendrive-output", str(made)]
            run = subprocess.run(call, capture_output=True, text=True, errors="replace", timeout=_PATIENCE)
            if run.returncode != 0:
                said = [line for line in run.stderr.splitlines() if line.startswith("Error")] or ["it does not say why"]
                raise SumoError(f"{network}: netconvert could not read it: {said[0].removeprefix('Error: ')}")
            os.replace(made, kept)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SumoError(f"{network}: not converted: {error}") from None
    return kept
