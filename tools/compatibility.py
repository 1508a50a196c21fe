"""Runs CARLA's own programs and others' scenarios against the embedded town; writes docs/reference/compatibility.md.

    python tools/compatibility.py --carla CARLA/PythonAPI --runner scenario_runner [older ...]
        --esmini esmini --maps DIR

Each suite is a checkout of its own: ``carla-simulator/carla`` (its ``PythonAPI`` folder), ``carla-simulator/
scenario_runner``, ``esmini/esmini``. ``--maps`` is a folder with CARLA's ``Town01.xodr`` and so on: programs are tried
with our towns, which answer to the names of CARLA's, and what fails there once more with these. Nothing in the suites
is changed, but for the port in a copy of the smoke tests. ``--python`` is the interpreter that has what they require.
Results are kept in ``--results``: suites may be run one at a time, and the page shows all that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from esmini import ends, judge

from bridge.process.presets import PLAIN

ROOT = Path(__file__).resolve().parent.parent
PORT = 3654  # in CARLA's smoke tests
EMPTY = ("--vehicles", "0", "--walkers", "0")  # as CARLA's server begins
#: Arguments of programs that need some, or would never come to an end; {port} is the town's.
ARGUMENTS = {
    "generate_traffic.py": "-n 10 -w 5",
    "start_recording.py": "-n 5 -t 3 -f test1.rec",
    "start_replaying.py": "-f test1.rec",
    "lidar_to_camera.py": "-f 5",
    "no_rendering_mode.py": "--no-rendering",
    "config.py": "--list",
    "performance_benchmark.py": "--show_scenarios",
    "apply_texture.py": "--list",
    "environment.py": "--sun day",
    "extract_spawn_points.py": "--output-dir .",
}
SCENARIOS = ("FollowLeadingVehicle_1", "ControlLoss_1")  # of ScenarioRunner's own, in Python
#: How the ego drives where that is not as usual: one scenario ends when it has driven 20 km; another asks for 100 m,
#: which nobody who keeps behind its leader has gone when that has stopped for good, some 64 m on.
MANNERS = {
    "OscControllerExample.xosc": ("--speed", "15", "--ignore-lights", "--keep-right", "0.9"),
    "FollowLeadingVehicle.xosc": ("--back", "24"),
}
FAR = ("OscControllerExample.xosc",)
PATIENCE = 3.0  # times the limit of the others, for that
#: Why some cannot end, or not well, whatever the server answers.
REASONS = {
    "ChangingWeather.xosc": "its last event waits for 10,000,000 s",
    "LaneOffsetActionExample.xosc": "ScenarioRunner never regards its ego's continuous lane offset as done",
}
FIRST = "start_recording.py"  # others ask about what it has recorded
Result = tuple[str, str]  # "runs" or "fails", and what was seen
Results = dict[str, Result]  # by test, program or scenario


@contextmanager
def town(*arguments: str, port: int = 0) -> Iterator[int]:
    """A town server of its own while it is needed; its port (0: any free one)."""
    command = [sys.executable, "-m", "neuralsim.town.carla_server", "--port", str(port), *EMPTY, *arguments]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
    assert process.stdout is not None
    ready = re.search(r":(\d+)$", process.stdout.readline().strip())
    if ready is None:
        raise SystemExit("the town does not start: see above")
    try:
        yield int(ready[1])
    finally:
        process.terminate()
        process.wait(20)


def run(command: list[str], folder: Path, seconds: float, **environment: str) -> tuple[int | None, str]:
    """Exit code (None: ended after a time limit) and output of a program."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    headless = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "MPLBACKEND": "agg"}
    with subprocess.Popen(
        command, cwd=folder, env={**kept, **headless, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
            out, _ = process.communicate()
            return None, out
        return process.returncode, out


def due(name: str, known: Results) -> bool:
    """Whether something is to be run: what has not run yet, of a module of tests all that have not."""
    seen = [state for key, (state, _) in known.items() if key == name or key.startswith(f"{name}.Test")]
    return set(seen) != {"runs"}


def smoke(folder: Path, python: str, seconds: float, known: Results) -> Results:
    """CARLA's smoke tests, test by test. ``known``: what has been seen before; what has run is not run again."""
    found: Results = {}
    with tempfile.TemporaryDirectory() as scratch, town("--as-carla") as port:
        copy = Path(scratch) / "smoke"
        shutil.copytree(folder / "test" / "smoke", copy)
        start = copy / "__init__.py"
        start.write_text(start.read_text(encoding="utf-8").replace(str(PORT), str(port)))
        for module in sorted(path.stem for path in copy.glob("test_*.py") if due(path.stem, known)):
            code, out = run([python, "-m", "unittest", "-v", f"smoke.{module}"], Path(scratch), seconds)
            verdicts = re.findall(r"^(test_\w+) \(([\w.]+)\)(.*?)^(ok|FAIL|ERROR|skipped.*?)$", out, re.M | re.S)
            for name, where, _, verdict in verdicts:
                key = f"{module}.{where.split('.')[-2]}.{name}"
                found[key] = ("runs", "") if verdict == "ok" else ("fails", last_line(out))
            if not verdicts or code is None:
                found[f"{module}"] = ("fails", "takes too long" if code is None else last_line(out))
    return found


def programs(folder: Path, python: str, seconds: float, maps: Path | None, known: Results) -> Results:
    """Programs of a folder, each for a limited time: what still runs then counts as running.

    ``maps``: a folder with CARLA's, for those to which our towns are not like enough; ``known``: as for ``smoke``.
    """
    found: Results = {}
    for path in sorted(folder.glob("*.py"), key=lambda path: (path.name != FIRST, path.name)):
        if not due(path.name, known):
            continue
        state, seen = _run_program(path, python, seconds)
        if state == "fails" and maps:
            state, seen = _run_program(path, python, seconds, "--town", "oldtown", str(maps))
            seen += ", with CARLA's own maps"
        found[path.name] = state, seen
    return found


def _run_program(path: Path, python: str, seconds: float, *carlas: str) -> Result:
    """One program in a town of its own: who is ended leaves its cars behind. Most know no port but this one."""
    with town("--as-carla", *carlas, port=2000):
        given = ARGUMENTS.get(path.name, "").split()
        ports = ["--port", "2000"] if "--port" in path.read_text(errors="replace") else []
        agents = str(path.parent.parent / "carla")
        code, out = run([python, path.name, *ports, *given], path.parent, seconds, PYTHONPATH=agents)
    state, seen = ("runs", "to its end") if code == 0 else ("fails", last_line(out))
    if code is None:
        state, seen = "runs", f"until stopped after {seconds:g} s"
    return state, f"{seen}, with {' '.join(given)}" if given else seen


def runner(folders: list[Path], python: str, seconds: float, maps: Path, agents: Path, known: Results) -> Results:
    """ScenarioRunner's OpenSCENARIO examples, and two in Python: do they end with a verdict of their own, and which?

    ``folders``: its releases; what the first of them does not bring to an end is tried with the next. ``known``: as for
    ``smoke``.
    """
    found: Results = {}
    files = sorted((folders[0] / "srunner" / "examples").glob("*.xosc"))
    plays = [(path.name, ["--openscenario", f"srunner/examples/{path.name}"]) for path in files]
    plays += [(name, ["--scenario", name]) for name in SCENARIOS]
    for name, given in (play for play in plays if due(play[0], known)):
        patience = PATIENCE * seconds if name in FAR else seconds
        for folder in folders:
            state, seen = _play(folder, python, patience, maps, agents, MANNERS.get(name, ()), given)
            if name in found:
                seen = (
                    f"{seen}, with ScenarioRunner {_release(folder)}; {_release(folders[0])}'s ends: {found[name][1]}"
                )
            if state == "runs" or name not in found:
                found[name] = state, seen
            if state == "runs" or name in REASONS:
                break
        if name in MANNERS:
            found[name] = found[name][0], f"{found[name][1]}, ego driven with {' '.join(MANNERS[name])}"
        if name in REASONS:
            found[name] = found[name][0], f"{found[name][1]}: {REASONS[name]}"
    return found


def _release(folder: Path) -> str:
    """Which release this is, by its change log."""
    changes = (folder / "Docs" / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"^## CARLA ScenarioRunner ([\d.]+)", changes, re.M)
    return found[1] if found else folder.name


def _play(
    folder: Path, python: str, seconds: float, maps: Path, agents: Path, manner: Sequence[str], given: list[str]
) -> Result:
    """One scenario in a town of its own, its ego driven in the ``manner`` of these arguments of ``hero.py``."""
    roots = os.pathsep.join(map(str, (folder, agents)))
    with town("--town", str(maps / "Town01.xodr"), str(maps)) as port:
        hero = [sys.executable, str(ROOT / "tools" / "hero.py"), "--port", str(port), *manner]
        with subprocess.Popen(hero, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL) as driver:
            command = [
                python,
                "scenario_runner.py",
                "--port",
                str(port),
                "--timeout",
                "60",
                "--output",
                "--sync",
                *given,
            ]
            code, out = run(command, folder, seconds, SCENARIO_RUNNER_ROOT=str(folder), PYTHONPATH=roots)
            driver.terminate()
    verdict = re.search(r"GLOBAL RESULT\W*([A-Z]+)", out)
    if verdict is not None:
        failed = re.findall(r"(\w+) \(Req\.\)[^A-Z]*FAILURE", out)
        return "runs", f"verdict: {verdict[1]}" + (f" ({', '.join(failed)})" if failed else "")
    if code == 0 and "has no criteria" in out:
        return "runs", "to its end; it evaluates nothing"
    return "fails", f"no end within {seconds:g} s" if code is None else last_line(out)


def esmini(folder: Path, seconds: float, known: Results) -> Results:
    """Esmini's scenarios: are they understood, do they end by themselves, and when esmini's own tests say?"""
    files = sorted(path for path in (folder / "resources" / "xosc").glob("*.xosc") if due(path.name, known))
    found: Results = {}
    with town("--town", str(folder / "resources" / "xodr"), PLAIN) as port:
        command = [sys.executable, str(ROOT / "tools" / "esmini.py"), "--port", str(port), *map(str, files)]
        _, out = run(command, folder, seconds * len(files), PYTHONPATH=str(ROOT))
    played = {each["file"]: each for each in map(json.loads, re.findall(r"^\{.*\}$", out, re.M))}
    expected = ends((folder / "test" / "smoke_test.py").read_text(encoding="utf-8"))
    for name in (path.name for path in files):
        found[name] = judge(played[name], expected.get(name)) if name in played else ("fails", last_line(out))
    return found


def last_line(out: str) -> str:
    """The line of some output that says why it ended."""
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
    return (errors or lines or ["says nothing"])[-1][:160]


def page(results: dict[str, Results]) -> str:
    """The page, in Markdown."""
    lines = [
        "# Which of CARLA's own programs run", "",
        "`python tools/compatibility.py` generates this page; its docstring lists what it needs. The programs are the",
        "original ones, in the releases that match the 0.9.16 client. A program for manual driving is started and",
        "stopped. An ego that ScenarioRunner leaves to an external controller is driven by `tools/hero.py`. Steering",
        "wheels and graphics cards were not available.", "",
    ]  # fmt: skip
    for suite, found in results.items():
        good = sum(state == "runs" for state, _ in found.values())
        lines += [f"## {suite}: {good} of {len(found)}", "", "| name | result | details |", "| --- | --- | --- |"]
        for name, (state, why) in found.items():
            lines.append(f"| `{name}` | {state} | {why.replace('|', '/')} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run other people's suites against the town; write the page about it.")
    parser.add_argument("--carla", type=Path, metavar="DIR", help="CARLA's PythonAPI")
    parser.add_argument(
        "--runner", type=Path, nargs="+", metavar="DIR", help="scenario_runner; then older releases of it"
    )
    parser.add_argument("--esmini", type=Path, metavar="DIR", help="esmini")
    parser.add_argument("--maps", type=Path, metavar="DIR", help="CARLA's .xodr files")
    parser.add_argument("--only", nargs="+", metavar="SUITE", help="smoke, examples, util, runner, esmini")
    parser.add_argument("--again", action="store_true", help="only what did not run before, by --results")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has what the suites require")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="for each program; tests and scenarios get 15 times it"
    )
    parser.add_argument("--results", type=Path, default=ROOT / "compatibility.json", help="what has been seen so far")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "reference" / "compatibility.md")
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8")) if options.results.exists() else {}
    short, long = options.seconds, 15.0 * options.seconds
    carla, python, maps = options.carla, options.python, options.maps
    suites: dict[str, tuple[str, bool, Callable[[Results], Results]]] = {
        "smoke": ("CARLA's smoke tests", bool(carla), lambda known: smoke(carla, python, long, known)),
        "examples": (
            "CARLA's examples",
            bool(carla),
            lambda known: programs(carla / "examples", python, short, maps, known),
        ),
        "util": ("CARLA's utilities", bool(carla), lambda known: programs(carla / "util", python, short, maps, known)),
        "runner": (
            "ScenarioRunner's OpenSCENARIO",
            bool(options.runner and maps and carla),
            lambda known: runner(options.runner, python, long, maps, carla / "carla", known),
        ),
        "esmini": ("esmini's scenarios", bool(options.esmini), lambda known: esmini(options.esmini, long, known)),
    }
    for name, (title, given, suite) in suites.items():
        if given and (not options.only or name in options.only):
            known = {each: tuple(seen) for each, seen in results.get(title, {}).items()} if options.again else {}
            ran = {each: seen for each, seen in known.items() if seen[0] == "runs"}
            results[title] = dict(sorted({**ran, **suite(known)}.items(), key=lambda item: item[0].lower()))
            options.results.write_text(json.dumps(results, indent=1), encoding="utf-8")
    options.out.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
