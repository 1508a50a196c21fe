"""Conversion of SUMO networks to OpenDRIVE maps, by SUMO's netconvert."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from bridge.process.lifetime import BridgeError
from bridge.process.user_cache import cache_folder
from bridge.untrusted import files, limits, xml

_ELEMENTS = 10_000  # at most in a .sumocfg
_DEPTH = 20  # levels at most
_TIMEOUT = 300.0  # s, for the conversion of a network


class SumoError(BridgeError):
    """SUMO or its input is missing or invalid; the message is one line."""


def program(name: str) -> str:
    """Return the path of one of SUMO's programs, from the wheel ``eclipse-sumo``. Raises ``SumoError`` without it."""
    try:
        import sumo
    except ModuleNotFoundError:
        raise SumoError('SUMO is missing: pip install "neuralsim[sumo]"') from None
    return str(Path(sumo.SUMO_HOME) / "bin" / name)


def network_of(config: Path) -> Path:
    """Return the network file that a .sumocfg names. Raises ``SumoError``."""
    try:
        root = xml.parse(files.read_text(config, limits.OPENSCENARIO_SIZE), _ELEMENTS, _DEPTH)
    except OSError as error:
        raise SumoError(f"{config}: {(error.strerror or 'cannot be read').lower()}") from None
    except ValueError as error:
        raise SumoError(f"{config}: {error}") from None
    for name in ("net-file", "net", "n"):  # SUMO's names for the same option
        for element in root.iter(name):
            if value := element.get("value"):
                return config.parent / value
    raise SumoError(f"{config}: it names no net-file; is it a SUMO configuration?")


def opendrive_of(config: Path) -> Path:
    """Return the network of a .sumocfg as an .xodr file, which is converted once and kept in the cache folder.

    netconvert keeps the network's coordinates (y to the north). Raises ``SumoError``.
    """
    network = network_of(config)
    try:
        digest = hashlib.sha256(network.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise SumoError(f"{network}: {(error.strerror or 'cannot be read').lower()}") from None
    folder = cache_folder() / "sumo"
    cached = folder / f"{network.name.partition('.')[0][:40]}-{digest}.xodr"
    if cached.exists():
        return cached
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            output = Path(scratch) / "map.xodr"
            call = [program("netconvert"), "-s", str(network), "--opendrive-output", str(output)]
            run = subprocess.run(call, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT)
            if run.returncode != 0:
                errors = [line for line in run.stderr.splitlines() if line.startswith("Error")] or ["unknown error"]
                raise SumoError(f"{network}: netconvert could not read it: {errors[0].removeprefix('Error: ')}")
            os.replace(output, cached)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SumoError(f"{network}: not converted: {error}") from None
    return cached
