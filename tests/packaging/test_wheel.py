"""The wheel, installed away from the checkout: its content, and that it drives.

It is installed into an empty environment that takes its dependencies from the current one; with NEURALSIM_EMPTY=1
(``make wheel-test``) the dependencies are installed into it from the locks, which takes another minute.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from neuralsim import __version__, zoo
from neuralsim.training import configs
from scenarios import library

ROOT = Path(__file__).resolve().parents[2]
OURS = ("bridge", "neuralsim", "scenarios")
EMPTY = os.environ.get("NEURALSIM_EMPTY") == "1"
pytestmark = pytest.mark.timeout(900)  # for a machine on which nothing is compiled yet


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy: a build leaves files behind, which the next one would pick up."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in (*OURS, "LICENSES"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(out),
    ]
    subprocess.run([*pip, str(source)], check=True)
    (built,) = out.glob("*.whl")
    return built


def environment(folder: Path, wheel: Path, lock: str) -> Path:
    """Make an environment with nothing of ours but the wheel; return its Python."""
    venv.create(folder, with_pip=EMPTY)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-compile"]
    if EMPTY:
        subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / lock)], check=True)
    else:  # the .pth files of the other environment, among them that of the checkout, are not read through a .pth file
        site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    subprocess.run([*pip, str(wheel)], check=True)
    if not EMPTY:
        share_kernels(Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})))
    return python


def share_kernels(site: Path) -> None:
    """Copy numba's compiled kernels to the installed package; otherwise a drive waits a minute for compilation.

    numba accepts a compiled kernel if its source has the same size and modification time.
    """
    for name in OURS:
        for compiled in (ROOT / name).rglob("__pycache__/*"):
            if compiled.suffix in (".nbi", ".nbc", ".compiled"):
                copy = site / compiled.relative_to(ROOT)
                copy.parent.mkdir(exist_ok=True)
                shutil.copy2(compiled, copy)
        for source in (ROOT / name).rglob("*.py"):
            stat = source.stat()
            os.utime(site / source.relative_to(ROOT), ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("drive") / "venv", wheel, "drive.txt")


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in an empty folder, with nothing in its environment that leads to the checkout."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    clean["NEURALSIM_CACHE"] = str(folder / "cache")
    command = [str(python), *arguments]
    return subprocess.run(command, cwd=folder, env=clean, text=True, capture_output=True, timeout=800, check=False)


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as files:
        (name,) = [name for name in files.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(files.read(name).decode())


def test_it_contains_exactly_the_files_of_our_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        inside = {name for name in files.namelist() if ".dist-info/" not in name}
    tracked = {
        path.relative_to(ROOT).as_posix()
        for name in OURS
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == tracked
    assert {f"{name}/py.typed" for name in OURS} <= inside


def test_the_metadata_matches_the_licences(wheel: Path) -> None:
    fields = metadata(wheel)
    assert fields["Version"] == __version__
    assert fields["License-Expression"] == "MIT AND Apache-2.0 AND LicenseRef-NeuralSim-Weights"
    files = fields.get_all("License-File", [])
    assert set(files) == {"LICENSE", "LICENSES/Apache-2.0.txt", "LICENSES/LicenseRef-NeuralSim-Weights.txt"}
    terms = (ROOT / "LICENSES/LicenseRef-NeuralSim-Weights.txt").read_text(encoding="utf-8")
    named = [name for name in terms.replace(",", " ").split() if name.startswith("neuralsim/")]
    assert named
    assert all(list(ROOT.glob(name.rstrip(".;)"))) for name in named)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tags", "street-rt"])
def test_it_drives(python: Path, tmp_path: Path, model: str) -> None:
    size = ("--size", "128x64", "--town", "hamlet", "--report", "r.json")
    drive = ("-m", "neuralsim", "drive", "--headless", "--autopilot", "--frames", "30", "--model", model, *size)
    done = run(python, tmp_path, *drive)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert (report["frames"], report["model"]) == (30, model)
    where = run(
        python, tmp_path, "-c", "import bridge, neuralsim, scenarios; print(bridge.__file__, neuralsim.__file__)"
    )
    assert str(ROOT) not in where.stdout
    assert where.stdout.count("site-packages") == 2


@pytest.mark.slow  # that they are in the wheel is tested above
def test_shipped_files_are_found_by_name(python: Path, tmp_path: Path) -> None:
    code = """
from importlib.resources import files
from neuralsim import zoo
from neuralsim.classmaps import load
from neuralsim.training import configs
from scenarios import library
print([file.is_file() for find, names in ((configs.find, configs.names()), (library.find, library.names()))
       for file in map(find, names)], zoo.names(), load("camvid").name,
      sorted(each.name for each in (files("neuralsim.serve") / "web").iterdir()))
"""
    done = run(python, tmp_path, "-c", code)
    files = [True] * (len(configs.names()) + len(library.names()))
    page = sorted(each.name for each in (ROOT / "neuralsim" / "serve" / "web").iterdir())
    assert done.stdout == f"{files} {zoo.names()} camvid {page}\n", done.stderr


@pytest.mark.skipif(not EMPTY, reason="takes half a minute: make wheel-test")
def test_a_shipped_scenario_is_recorded_by_name(python: Path, tmp_path: Path) -> None:
    record = ("record", "cut_in", "--planes", "tag", "--format", "mcap", "--size", "64x32", "--out", "out")
    done = run(python, tmp_path, "-m", "neuralsim", *record)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/cut_in/result.json").read_text(encoding="utf-8"))["frames"] > 0


@pytest.mark.skipif(not EMPTY, reason="needs an environment without the other extras: make wheel-test")
def test_the_simulators_machine_needs_no_machine_learning(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", wheel, "bridge.txt")
    installed = run(python, tmp_path, "-m", "pip", "list", "--format", "freeze").stdout
    assert not {"onnx", "onnxruntime", "openvino", "torch"} & {line.partition("==")[0] for line in installed.split()}
    code = """
import subprocess, sys
from bridge.link.transport import FrameSubscriber
with subprocess.Popen([sys.executable, "-m", "neuralsim", "town", "--port", "0", "--town", "hamlet"], text=True,
                      stdout=subprocess.PIPE) as town:
    try:
        print(town.stdout.readline())
    finally:
        town.terminate()
"""
    done = run(python, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), done.stderr
    drive = run(python, tmp_path, "-m", "neuralsim", "drive", "--headless", "--frames", "1")
    assert drive.returncode == 1
    assert drive.stderr.endswith('is missing: pip install "neuralsim[drive]"\n')
    assert len(drive.stderr.splitlines()) == 1
