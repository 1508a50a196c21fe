"""Hostile files, generated on demand: each with its name and the command lines that must refuse it.

python -m tests.hostile.corpus DIR      # writes them, for other tools
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from neuralsim.town.opendrive import towns

from .attack import LONG, SCENARIO, Attack, binary_file, png, text_file
from .hostile_recordings import recordings

ROOT = Path(__file__).resolve().parents[2]


def attacks() -> Iterator[Attack]:
    """Yield all attacks."""
    for kind in (_scenarios, _openscenarios, _maps, recordings, _cards, _class_maps, _pictures):
        yield from kind()


# Scenarios

_RECORD = ("record {file} --out {out}",)


def _scenarios() -> Iterator[Attack]:
    doubled = "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 9)]
    )
    merged = "\n".join(["a0: &a0 {x: 1}"] + [f"a{k}: &a{k} {{<<: [*a{k - 1}, *a{k - 1}]}}" for k in range(1, 40)])
    texts = {
        "control-character": SCENARIO + "description: \x07\n",
        "nul": SCENARIO + "description: \0\n",
        "impossible-date": SCENARIO + "seed: 2024-99-99\n",
        "int-of-letters": SCENARIO + "seed: !!int abc\n",
        "float-of-letters": SCENARIO + "fps: !!float abc\n",
        "empty-int": SCENARIO + "seed: !!int ''\n",
        "long-number": SCENARIO + f"seed: {LONG}\n",
        "long-float": SCENARIO + "fps: 1e99999\n",
        "nan": SCENARIO + "fps: .nan\n",
        "lists-in-lists": "[" * 100_000,
        "maps-in-maps": "{a: " * 50_000,
        "blocks-in-blocks": "- " * 50_000,
        "aliases": doubled,
        "merged-aliases": merged,
        "alias-of-itself": SCENARIO + "description: &a [*a]\n",
        "python-object": SCENARIO + "seed: !!python/object/apply:os.system [true]\n",
        "list-as-key": SCENARIO + "? [1, 2]\n: 3\n",
        "number-as-key": SCENARIO + "1: 2\n",
        "broken-binary": SCENARIO + "description: !!binary x\n",
        "timestamp-of-letters": SCENARIO + "seed: !!timestamp abc\n",
        "set": "!!set {a, b}\n",
        "two-documents": SCENARIO + "---\na: 1\n",
        "nothing": "",
        "many-values": "- 1\n" * 200_000,
        "long-key": f"{'k' * 500_000}: 1\n",
        "two-lines-in-a-key": SCENARIO + '"a\\nb": 1\n',
        "escape-sequence-in-a-key": SCENARIO + '"\\e[2J": 1\n',
        "map-at-nul": SCENARIO + 'town: "a\\0b.xodr"\n',
        "map-is-endless": SCENARIO + "town: /dev/zero/../zero.xodr\n",
        "map-with-long-name": SCENARIO + f"town: {'x' * 5000}.xodr\n",
        "nothing-to-do": SCENARIO.replace("- follow_lane: {speed: 5}", "[]"),
        "deep-conditions": SCENARIO.replace("duration: 1", "duration: 1\nend: [" + "{any_of: [" * 40 + "]}" * 40 + "]"),
        "surrogate": SCENARIO + 'description: "\\ud800"\n',
        "title-of-two-lines": SCENARIO.replace("title: Hostile", 'title: "a\\nb"'),
    }
    for name, text in texts.items():
        yield Attack(f"yaml-{name}", text_file(text), _RECORD, ".yaml")
    yield Attack("yaml-noise", binary_file(bytes(range(256)) * 64), _RECORD, ".yaml")
    yield Attack("yaml-utf16", binary_file(SCENARIO.encode("utf-16")), _RECORD, ".yaml")
    yield Attack("yaml-pipe", lambda path: os.mkfifo(path), _RECORD, ".yaml")
    yield Attack("yaml-folder", lambda path: path.mkdir(), _RECORD, ".yaml")
    yield Attack("yaml-huge", text_file("# " + "x" * 3_000_000), _RECORD, ".yaml")


# OpenSCENARIO


def _xosc(parameters: str = "", map_: str = "oldtown", speed: str = "5") -> str:
    """Return a valid file, except for the arguments."""
    return f"""<?xml version="1.0"?>
<OpenSCENARIO>
<FileHeader revMajor="1" revMinor="0" date="2020-01-01T00:00:00" description="CARLA:x" author=""/>
<ParameterDeclarations>{parameters}</ParameterDeclarations>
<CatalogLocations/>
<RoadNetwork><LogicFile filepath="{map_}"/></RoadNetwork>
<Entities><ScenarioObject name="hero"><Vehicle name="vehicle.tesla.model3" vehicleCategory="car"><Properties/></Vehicle>
</ScenarioObject></Entities>
<Storyboard><Init><Actions><Private entityRef="hero">
<PrivateAction><TeleportAction><Position>
<WorldPosition x="{speed}" y="0" z="0" h="0"/></Position></TeleportAction></PrivateAction>
</Private></Actions></Init><StopTrigger/></Storyboard>
</OpenSCENARIO>
"""


def _declared(name: str, value: str) -> str:
    return f'<ParameterDeclaration name="{name}" parameterType="string" value="{value}"/>'


def _openscenarios() -> Iterator[Attack]:
    doubling = _declared("p0", "x" * 100) + "".join(_declared(f"p{k}", f"$p{k - 1}" * 10) for k in range(1, 12))
    entity = (
        '<!DOCTYPE x [<!ENTITY a "'
        + "x" * 1000
        + '">'
        + "".join(f'<!ENTITY {chr(98 + k)} "{f"&{chr(97 + k)};" * 10}">' for k in range(9))
    )
    texts = {
        "doubling-parameters": _xosc(doubling, map_="$p11"),
        "entities": _xosc(map_="&j;").replace("<OpenSCENARIO>", entity + "]><OpenSCENARIO>", 1),
        "entity-of-a-file": _xosc(map_="&f;").replace(
            "<OpenSCENARIO>", '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><OpenSCENARIO>', 1
        ),
        "power": _xosc(speed="${pow(9e99, 9e99)}"),
        "power-of-power": _xosc(speed="${9" + "*9" * 2000 + "}"),
        "minuses": _xosc(speed="${" + "-" * 20_000 + "1}"),
        "parentheses": _xosc(speed="${" + "(" * 150 + "1" + ")" * 150 + "}"),
        "division-by-nothing": _xosc(speed="${1/0}"),
        "complex": _xosc(speed="${pow(-1, 0.5)}"),
        "root-of-nothing": _xosc(speed="${sqrt(-1)}"),
        "round-of-infinity": _xosc(speed="${round(1e999)}"),
        "called-number": _xosc(speed="${1(2)}"),
        "not-python": _xosc(speed="${1if 2else 3}"),
        "long-number": _xosc(speed="${" + LONG + "}"),
        "no-number": _xosc(speed="nan"),
        "superscript-seed": _xosc(_declared("seed", "\u00b2"), speed="nan"),
        "long-seed": _xosc(_declared("seed", LONG), speed="nan"),
        "long-map": _xosc(map_="m" * 5000),
        "no-such-parameter": _xosc(map_="$" + "n" * 4000),
        "deep": "<OpenSCENARIO>" + "<a>" * 50_000,
        "nothing": "",
        "no-storyboard": re.sub("<Storyboard>.*</Storyboard>", "", _xosc(), flags=re.S),
    }
    for name, text in texts.items():
        yield Attack(f"xosc-{name}", text_file(text), _RECORD, ".xosc")
    yield Attack("xosc-nul", binary_file(_xosc().encode() + b"\0"), _RECORD, ".xosc")
    yield Attack("xosc-noise", binary_file(bytes(range(256)) * 64), _RECORD, ".xosc")
    yield Attack("xosc-pipe", lambda path: os.mkfifo(path), _RECORD, ".xosc")


# OpenDRIVE

_TOWN = ("drive --headless --frames 1 --model tags --size 64x32 --town {file}",)


def roads(count: int, length: float = 100.0, width: float = 3.5) -> str:
    """Return an OpenDRIVE text with ``count`` parallel roads of one lane each way."""
    lane = f'type="driving" level="false"><width sOffset="0" a="{width:g}" b="0" c="0" d="0"/></lane>'
    return _opendrive(
        f'<road name="" length="{length:g}" id="{k}" junction="-1"><planView><geometry s="0" x="{k % 100 * 120}" '
        f'y="{k // 100 * 20}" hdg="0" length="{length:g}"><line/></geometry></planView><lanes><laneSection s="0"><left>'
        f'<lane id="1" {lane}</left><center><lane id="0" type="none" level="false"/></center><right>'
        f'<lane id="-1" {lane}</right></laneSection></lanes></road>'
        for k in range(count)
    )


def _road(length: float = 100.0, more: str = "", lanes: int = 1, width: float = 3.5) -> str:
    """Return a straight road with ``lanes`` lanes each way, and ``more`` in it."""
    lane = f'type="driving" level="false"><width sOffset="0" a="{width:g}" b="0" c="0" d="0"/></lane>'
    left, right = ("".join(f'<lane id="{sign * k}" {lane}' for k in range(1, lanes + 1)) for sign in (1, -1))
    return (
        f'<road name="" length="{length:g}" id="0" junction="-1"><planView><geometry s="0" x="0" y="0" hdg="0" '
        f'length="{length:g}"><line/></geometry></planView>{more}<lanes><laneSection s="0"><left>{left}</left>'
        f'<center><lane id="0" type="none" level="false"/></center><right>{right}</right></laneSection></lanes></road>'
    )


def _signals(count: int) -> str:
    """Return ``count`` speed limits."""
    return "".join(
        ["<signals>"]
        + [
            f'<signal s="{k % 1000}" t="4" id="{k}" name="" dynamic="no" orientation="+" zOffset="2" '
            f'country="de" type="274" subtype="50" value="50"/>'
            for k in range(count)
        ]
        + ["</signals>"]
    )


def _outline(corners: int) -> str:
    """Return a building with this many corners."""
    outline = "".join(
        f'<cornerLocal u="{k * 7919 % 100}" v="{k * 104729 % 97}" z="0" height="5"/>' for k in range(corners)
    )
    head = '<object s="5" t="99" id="1" type="building" zOffset="0" hdg="0" height="4"><outline>'
    return f"<objects>{head}{outline}</outline></object></objects>"


def _many_borders(lanes: int = 60, pieces: int = 60) -> str:
    """Return a road whose lanes have borders that change at different places, so that widths change at all of them."""
    text = _opendrive([_road(1000.0, lanes=lanes)])
    for side, sign in (("left", 1), ("right", -1)):
        head, _, tail = text.partition(f"<{side}>")
        for k in range(1, lanes + 1):
            borders = "".join(
                f'<border sOffset="{n * 1000 / pieces + k / 100}" a="{sign * k * 0.9}" b="0" c="0" d="0"/>'
                for n in range(pieces)
            )
            tail = tail.replace('<width sOffset="0" a="3.5" b="0" c="0" d="0"/>', borders, 1)
        text = f"{head}<{side}>{tail}"
    return text


def _opendrive(parts: Iterable[str]) -> str:
    head = '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="" version="1" date=""/>'
    return head + "".join(parts) + "</OpenDRIVE>"


def _maps() -> Iterator[Attack]:
    entity = (
        '<!DOCTYPE x [<!ENTITY a "'
        + "x" * 1000
        + '">'
        + "".join(f'<!ENTITY {chr(98 + k)} "{f"&{chr(97 + k)};" * 10}">' for k in range(9))
    )
    whole = towns.generate("hamlet", 0)
    texts: dict[str, str] = {
        "wide-lane": roads(1, width=9e6),
        "lane-that-widens": roads(1).replace('b="0"', 'b="9e5"'),
        "many-roads": roads(100_000, length=10.0),
        "honest-roads": roads(1000),
        "long-road": roads(1, length=100_000.0),
        "wide-road": _opendrive([_road(lanes=1500, width=0.1)]),
        "wide-land": roads(2).replace('y="0"', 'y="9000"', 1).replace('x="0"', 'x="9000"', 1),
        "steep": _opendrive(
            [_road(1000.0, '<elevationProfile><elevation s="0" a="0" b="9000" c="0" d="0"/></elevationProfile>')]
        ),
        "many-signals": _opendrive([_road(1000.0, _signals(50_000))]),
        "many-corners": _opendrive([_road(1000.0, _outline(100_000))]),
        "fine-corners": _opendrive([_road(1000.0, _outline(5000))]),
        "far-roads": roads(2).replace('y="0"', 'y="9e6"', 1),
        "deep": "<OpenDRIVE>" + "<a>" * 100_000,
        "many-elements": _opendrive(["<a/>"] * 2_000_000),
        "entities": whole.replace("<OpenDRIVE>", entity + "]><OpenDRIVE>", 1).replace('name="hamlet"', 'name="&j;"', 1),
        "document-type": "<!DOCTYPE x><OpenDRIVE/>",
        "nothing": "",
        "no-roads": _opendrive(()),
        "letters-for-s": roads(1).replace('laneSection s="0"', 'laneSection s="x"'),
        "letters-for-lane": roads(1).replace('lane id="-1"', 'lane id="x"'),
        "negative-length": roads(1, length=-5.0),
        "not-finite": roads(1).replace('hdg="0"', 'hdg="nan"'),
        "other-root": "<a" + "b" * 5000 + "/>",
    }
    for name, text in texts.items():
        yield Attack(f"xodr-{name}", text_file(text), _TOWN, ".xodr")
    for name, ident in {"letters-for-id": "x", "long-id": LONG}.items():  # strings in the standard: these maps drive
        yield Attack(f"xodr-{name}", text_file(roads(1).replace('id="0"', f'id="{ident}"', 1)), _TOWN, ".xodr", False)
    yield Attack("xodr-encoding", binary_file(roads(1).encode("utf-16-le")[:-1]), _TOWN, ".xodr")
    yield Attack("xodr-borders", text_file(_many_borders()), _TOWN, ".xodr", False)
    yield Attack("xodr-noise", binary_file(bytes(range(256)) * 64), _TOWN, ".xodr")
    yield Attack("xodr-pipe", lambda path: os.mkfifo(path), _TOWN, ".xodr")


# Models and class maps


def _cards() -> Iterator[Attack]:
    card = (ROOT / "neuralsim/zoo/street-rt/card.yaml").read_text(encoding="utf-8")
    changes: dict[str, tuple[str, str]] = {
        "multiple-of-infinity": ("multiple_of: 32", "multiple_of: .inf"),
        "multiple-of-nothing": ("multiple_of: 32", "multiple_of: 0"),
        "multiple-of-much": ("multiple_of: 32", "multiple_of: 999999999"),
        "multiple-of-letters": ("multiple_of: 32", "multiple_of: !!int abc"),
        "style-of-words": ("[-0.075, -0.0987, -0.1183]", "[a, b, c]"),
        "style-of-two": ("[-0.075, -0.0987, -0.1183]", "[0.0, 0.0]"),
        "style-not-finite": ("[-0.075, -0.0987, -0.1183]", "[.nan, .inf, 0.0]"),
        "styles-a-number": ("styles:", "styles: 3\nother:"),
        "styles-a-list": ("styles:", "styles: [1, 2]\nother:"),
        "file-climbs": ("file: model.onnx", "file: ../../../etc/passwd"),
        "file-a-list": ("file: model.onnx", "file: [model.onnx]"),
        "file-nul": ("file: model.onnx", 'file: "a\\0b"'),
        "hash-of-another": ("sha256: ", "sha256: 0 #"),
        "hash-a-date": ("sha256: ", "sha256: 2024-99-99 #"),
        "inputs-a-number": ("inputs: [", "inputs: 3 #["),
        "inputs-nested": ("inputs: [", "inputs: [[[1]]] #["),
        "no-styles": ("styles:", "other:"),
        "control-character": ("name: street-rt", "name: \x07"),
        "long-number": ("multiple_of: 32", f"multiple_of: {LONG}"),
        "default-style-a-map": ("default_style:", "default_style: {a: b} #"),
    }
    for name, (old, new) in changes.items():
        text = card.replace(old, new, 1)
        assert text != card, name
        yield Attack(f"card-{name}", _model(text), _RENDER, "")
    hashed = re.sub("sha256: .*", f"sha256: {hashlib.sha256(b'noise').hexdigest()}", card, count=1)
    yield Attack("card-graph-of-noise", _model(hashed, b"noise"), _RENDER, "")
    yield Attack("card-aliases", _model("a: &a [*a]"), _RENDER, "")
    yield Attack("card-nothing", _model(""), _RENDER, "")
    yield Attack("card-a-list", _model("[1, 2]"), _RENDER, "")


_RENDER = ("render {labels} --classes camvid --size 64x64 --model {file} --out {out}",)


def _model(card: str, graph: bytes = b"") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / "card.yaml").write_text(card, encoding="utf-8")
        (folder / "model.onnx").write_bytes(graph)

    return write


def _class_maps() -> Iterator[Attack]:
    commands = ("render {labels} --classes {file} --size 64x64 --out {out}",)
    texts = {
        "a-number": "3",
        "a-list": "[1, 2]",
        "labels-a-list": "labels: [1, 2]",
        "labels-nothing": "labels:",
        "id-of-letters": "labels: {a: road}",
        "id-too-large": f"labels: {{{LONG}: road}}",
        "id-negative": "labels: {-1: road}",
        "id-infinite": "labels: {.inf: road}",
        "id-true": "labels: {true: road}",
        "tag-a-number": "labels: {1: 2}",
        "tag-long": f"labels: {{1: {'x' * 10_000}}}",
        "tag-a-date": "labels: {1: 2024-99-99}",
        "like-a-list": "like: [camvid]",
        "like-nul": 'like: "a\\0b.yaml"',
        "like-long": f"like: {'x' * 5000}.yaml",
        "like-nobody": "like: nobody",
        "aliases": "labels: &a {1: *a}",
        "deep": "[" * 100_000,
        "nothing": "",
        "control-character": "labels: {1: \x07}",
    }
    for name, text in texts.items():
        yield Attack(f"classes-{name}", text_file(text), commands, ".yaml")
    yield Attack("classes-pipe", lambda path: os.mkfifo(path), commands, ".yaml")


# Pictures


def _pictures() -> Iterator[Attack]:
    commands = ("render {file} --classes camvid --size 64x64 --out {out}", "images flow {file} --out {out}")
    whole = png(96, 64)
    bombs = {
        "bomb": partial(png, 30_000, 30_000),
        "bomb-colour": partial(png, 30_000, 30_000, colour=2),
        "bomb-palette": partial(png, 30_000, 30_000, colour=3),
        "bomb-deep": partial(png, 20_000, 20_000, depth=16),
        "wide": partial(png, 10_000_000, 8),
    }
    for name, make in bombs.items():
        yield Attack(f"png-{name}", _folder_of(make), commands, "")
    for name, data in {
        "cut": whole[:40],
        "noise": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
        "nothing": b"",
        "palette-cut": png(96, 64, colour=3)[:830],
    }.items():
        yield Attack(f"png-{name}", _folder_of(partial(bytes, data)), commands, "")
    for name, make in {"bomb": partial(png, 30_000, 30_000, 16, 2), "eight-bits": partial(png, 96, 64, 8, 2)}.items():
        yield Attack(
            f"motion-{name}",
            _folder_of(make, "b.png"),
            ("render {labels} --classes camvid --size 64x64 --sequence --motion {file} --out {out}",),
            "",
        )
        yield Attack(
            f"instances-{name}",
            _folder_of(make, "a.png"),
            ("render {labels} --classes camvid --size 64x64 --instances {file} --out {out}",),
            "",
        )


def _folder_of(make: Callable[[], bytes], name: str = "a.png") -> Callable[[Path], None]:
    """Return a function that writes a folder with the file ``name``, which is generated late: bombs take seconds."""

    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / name).write_bytes(make())

    return write


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for attack in attacks():
        attack.write(target / f"{attack.name}{attack.suffix}")
