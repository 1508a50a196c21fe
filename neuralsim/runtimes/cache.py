"""Cache folder of engines, graphs in other precisions and measurements."""

import hashlib
import json
import os
import tempfile
from functools import lru_cache
from pathlib import Path

from bridge.process.user_cache import cache_folder

#: Version of the graphs that ``graph_variants.py`` writes; a higher number rebuilds them and their engines.
CONVERSION = 3


def key(facts: dict[str, object]) -> str:
    """Return 32 hex digits that change whenever one of ``facts`` does."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def sha256(path: Path) -> str:
    """Return the hash of a file's bytes, hex. A file is read once per process, unless it changes."""
    state = path.stat()
    return _sha256_of(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256_of(path: Path, inode: int, size: int, changed: int) -> str:
    """Return the hash of a file in the state that the other arguments stand for; a start asks for it ten times."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def form(graph: Path, name: str) -> Path:
    """Return the path of another form of the model in ``graph``, such as "fp16.onnx". It may not exist yet."""
    return cache_folder() / "graphs" / f"{sha256(graph)[:32]}-{CONVERSION}-{name}"


def write(path: Path, *parts: bytes, durable: bool = True) -> None:
    """Write ``parts`` to ``path`` atomically: a concurrent reader sees the old file. Raises OSError.

    ``durable``: wait until the disk has them, which can take seconds where others write, too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(name, 0o644)  # a temporary file is private to its user; this one may come with a model
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
