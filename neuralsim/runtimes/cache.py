"""Cache folder of engines, graphs in other precisions and measured choices."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from bridge.process.user_cache import cache_folder

#: Edition of the graphs that ``graph_variants.py`` makes; a higher number has them and their engines made anew.
CONVERSION = 1


def key(facts: dict[str, object]) -> str:
    """32 hex digits that change whenever one of ``facts`` does."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def form(graph: Path, name: str) -> Path:
    """Where another form of the model in ``graph`` is kept, such as "fp16.onnx". May not exist yet."""
    return cache_folder() / "graphs" / f"{sha256(graph)[:32]}-{CONVERSION}-{name}"


def write(path: Path, *parts: bytes) -> None:
    """Put ``parts`` into ``path`` whole or not at all: a reader meanwhile sees the old file. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # a temporary file is its maker's alone; this one may come with a model
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
