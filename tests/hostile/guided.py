"""Coverage-guided fuzzing of the readers with atheris, an extra dependency that does not support every Python version.

    pip install atheris
    python -m tests.hostile.guided yaml --seconds 120      # or any other of READERS; `make fuzz` runs all

An input must be read or refused with the reader's own error; any other error ends the run with a traceback, and atheris
writes the input to ``crash-...`` in the working directory. Fuzzing starts from valid files.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bridge", "neuralsim", "scenarios", "yaml"]):
    from bridge.link.frame_header import pack, pack_control, unpack, unpack_control
    from bridge.messages import Control, ProtocolError
    from bridge.untrusted import yaml as untrusted_yaml
    from bridge.untrusted.files import FileRefused
    from neuralsim import classmaps
    from neuralsim.recording import RecordingError
    from neuralsim.recording.reading.image_decoding import decode
    from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
    from neuralsim.recording.reading.sequential_reader import McapRecording
    from neuralsim.town.opendrive import probe
    from neuralsim.town.opendrive.dialects import normalise
    from neuralsim.zoo import ModelError, load
    from scenarios.engine.loader import ScenarioError, parse
    from scenarios.openscenario.reader import translate

from .attack import SCENARIO, png
from .corpus import ROOT, _xosc, roads
from .hostile_recordings import frames, recording

_FOLDER = Path(tempfile.mkdtemp(prefix="neuralsim-fuzz-"))


def _file(data: bytes, name: str) -> Path:
    path = _FOLDER / name
    path.write_bytes(data)
    return path


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _map(data: bytes) -> None:
    normalise(probe.read("a.xodr", _file(data, "a.xodr"))[1])


def _recording(data: bytes) -> None:
    path = _file(data, "a.mcap")
    for frame in McapRecording(path).frames():
        frame_of(frame)
    with RecordingReader(path) as reader:
        for number in range(min(len(reader), 4)):
            reader.read(number)


def _card(data: bytes) -> None:
    _file(data, "card.yaml")
    load(str(_FOLDER))


_BETWEEN = b"\0\xff\0"  # parts of a message


def _parts(data: bytes) -> None:
    unpack(data.split(_BETWEEN))


def _packed() -> bytes:
    (frame, _), *_ = frames(1, (8, 4))
    return _BETWEEN.join(bytes(part) for part in pack(frame))


def _recorded() -> bytes:
    path = _FOLDER / "whole.mcap"
    recording(path, pictures=frames(1, (8, 4)))
    return path.read_bytes()


#: Reader of each format, its own errors, and a valid file to start from.
READERS: dict[str, tuple[Callable[[bytes], object], tuple[type[Exception], ...], Callable[[], bytes]]] = {
    "yaml": (lambda data: untrusted_yaml.parse(_text(data)), (FileRefused,), SCENARIO.encode),
    "scenario": (lambda data: parse(Path("a.yaml"), _text(data), {}), (ScenarioError,), SCENARIO.encode),
    "openscenario": (lambda data: translate(Path("a.xosc"), data), (ScenarioError,), lambda: _xosc().encode()),
    "opendrive": (_map, (ValueError,), lambda: roads(2).encode()),
    "mcap": (_recording, (RecordingError,), _recorded),
    "classes": (
        lambda data: classmaps.load(str(_file(data, "a.yaml"))),
        (classmaps.ClassMapError,),
        lambda: b"like: camvid\nlabels: {1: road}\n",
    ),
    "card": (_card, (ModelError,), (ROOT / "neuralsim/zoo/street-rt/card.yaml").read_bytes),
    "picture": (decode, (), lambda: png(32, 16)),
    "frame": (_parts, (ProtocolError,), _packed),
    "control": (unpack_control, (ProtocolError,), lambda: pack_control(Control(1, driver="a"))),
}


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--seconds", type=int, default=120)
    options = parser.parse_args(argv)
    read, own, whole = READERS[options.reader]
    seeds = _FOLDER / "seeds"
    seeds.mkdir()
    (seeds / "whole").write_bytes(whole())

    def one(data: bytes) -> None:
        try:
            read(data)
        except own as error:
            if re.search(r"[\x00-\x08\x0a-\x1f]", str(error)):
                raise RuntimeError(f"not one line: {str(error)!r}") from None

    atheris.Setup([sys.argv[0], f"-max_total_time={options.seconds}", "-max_len=65536", str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
