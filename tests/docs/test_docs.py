"""What the docs say can be followed: their links lead somewhere, their commands exist with the options they show."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from docs import site_hooks
from neuralsim.cli import main
from neuralsim.cli.app import GROUPS
from neuralsim.evaluation.step_ablation import MEASURED
from neuralsim.renderer.postprocessing.pipeline import STEPS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OURS = ("benchmarks", "bridge", "neuralsim", "research", "scenarios")

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`([^`\n]+)`")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


class Command(NamedTuple):
    page: str
    words: list[str]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


@cache
def anchors(page: Path) -> set[str]:
    """What a link to one of a page's headings may end with."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)) for title in titles]
    return {re.sub(r"[\s-]+", "-", title.strip().lower()) for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_the_architecture_names_files_that_exist() -> None:
    named = re.findall(r"`((?:bridge|neuralsim|scenarios)/[\w/]+\.py)`", prose(ROOT / "docs" / "architecture.md"))
    assert len(named) > 25
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_guide_lists_the_steps_after_the_network_in_their_order() -> None:
    guide = (ROOT / "docs/guide/generator.md").read_text(encoding="utf-8")
    rows = [f"| {step.name} | {step.reason} | {', '.join(step.needs) or '–'} |" for step in STEPS]
    assert "\n".join(rows) in guide
    gains = re.findall(r"^\| ([a-z ]+) \| [+-]", guide, re.MULTILINE)
    assert [name for name in gains if name != "none"] == list(MEASURED)


def test_the_list_of_modules_has_every_module() -> None:
    listed = site_hooks.modules()
    files = [path for package in site_hooks.PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert [path.name for path in files if path.name != "__init__.py" and f"| `{path.name}` | " not in listed] == []


def code_lines(page: Path) -> Iterator[str]:
    """Lines of shell in fenced code, continued lines as one, and code within sentences."""
    text = page.read_text(encoding="utf-8")
    for language, body in _FENCE.findall(text):
        if language in ("", "sh", "bash", "shell", "console"):
            yield from body.replace("\\\n", " ").splitlines()
    for code in _INLINE.findall(prose(page)):
        yield code.replace("\\|", "|")  # as a table writes it


def commands(program: str) -> list[Command]:
    """All that start with ``program``, a regular expression, on all pages, as lists of words."""
    found = []
    for page in PAGES:
        for line in code_lines(page):
            for part in re.split(r"&&|\||;", line.split(" #")[0]):
                match = re.match(rf"\s*(?:\$ )?(?:\w+=\S+ )*({program})(?:\s|$)", part)
                if match:
                    with contextlib.suppress(ValueError):  # an apostrophe in a sentence of a diagram
                        words = shlex.split(part[match.start(1) :])
                        found.append(Command(page.relative_to(ROOT).as_posix(), words))
    return found


@cache
def help_of(command: str) -> str | None:
    """What ``neuralsim COMMAND --help`` prints; None where there is no such command."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main([*command.split(), "--help"])
    return printed.getvalue() if code == 0 else None


def wrong(words: list[str]) -> str:
    """What is wrong with a command's name or options, "" if nothing."""
    options = [match for word in words for match in _OPTION.findall(word) if word.startswith("--")]
    name = words[0] if words else ""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):  # an option of neuralsim itself, or dots that stand for a command
        name = ""
    if name in GROUPS and len(words) > 1 and not words[1].startswith("-"):
        name = " ".join(words[: 3 if words[:2] == ["link", "keys"] else 2])
    text = help_of(name)
    if text is None:
        return f"no command {name!r}"
    unknown = set(options) - set(_OPTION.findall(text))
    return f"no options {sorted(unknown)}" if unknown else ""


def test_every_neuralsim_command_exists_with_its_options() -> None:
    found = commands(r"(?:\.venv/bin/)?neuralsim|python -m neuralsim")
    assert len(found) > 60
    mistakes = []
    for command in found:
        words = command.words[3:] if command.words[0] == "python" else command.words[1:]
        if problem := wrong(words):
            mistakes.append(f"{command}: {problem}")
    assert mistakes == []


def test_every_make_target_and_its_options_exist() -> None:
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.+)$", rules, re.MULTILINE)[1].split())
    found = commands("make")
    assert len(found) > 5
    mistakes = []
    for command in found:
        named = [word for word in command.words[1:] if "=" not in word]
        mistakes += [str(command) for target in named if target not in targets]
        arguments = next((word[5:] for word in command.words if word.startswith("ARGS=")), "")
        if named == ["drive"] and (problem := wrong(["drive", *shlex.split(arguments)])):
            mistakes.append(f"{command}: {problem}")
    assert mistakes == []


def test_every_module_that_is_run_exists() -> None:
    found = [command for command in commands(r"(?:\.venv/bin/)?python3?") if command.words[1:2] == ["-m"]]
    assert found
    known = [command for command in found if command.words[2].partition(".")[0] in OURS]
    assert [str(command) for command in known if not find_spec(command.words[2])] == []


def test_an_invented_option_would_be_found() -> None:
    assert wrong(["drive", "--headless", "--town", "oldtown"]) == ""
    assert wrong(["drive", "--haedless"]) == "no options ['--haedless']"
    assert wrong(["dirve"]) == "no command 'dirve'"
