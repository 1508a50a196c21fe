"""Shipped scenarios by their bare names."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from itertools import takewhile
from math import inf
from pathlib import Path

import pytest
from helpers.command import ROOT
from helpers.wire_client import serving

from neuralsim.cli import main
from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.world import World
from scenarios import library
from scenarios.engine.loader import load
from scenarios.language.schema import Scenario

#: Plays scenarios for three frames each, as the bridge's process does with one. Each line of standard input is the
#: address of a server and a file; that a server ends after its scenario is no error here.
PLAY = """
import sys
from bridge import carla_bridge
from bridge.carla_client.options import BridgeOptions
from bridge.process.lifetime import end
from scenarios.engine.director import Director
carla_bridge.watch_server = lambda *_: None
more = {"size": "64x32", "planes": "tag,rgb", "publish": "tcp://127.0.0.1:0", "frames": 3}
for line in sys.stdin:
    address, _, path = line.strip().partition(" ")
    if carla_bridge.serve(BridgeOptions(carla=address, scenario=path, **more), Director):
        end(1)
    print("restored", flush=True)
end(0)
"""


def test_all_shipped_scenarios_play() -> None:
    """Towns change: a parked car may stand where a scenario has placed one. The first frames of each, with images."""
    pipe = subprocess.PIPE
    player = subprocess.Popen([sys.executable, "-c", PLAY], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert player.stdin is not None
    assert player.stdout is not None
    try:
        for loaded in map(load, map(library.find, library.names())):
            town = TownServer(partial(_world, loaded.scenario), loaded.town, port=0, patience=inf, prepare_rays=False)
            with serving(town):
                print(f"127.0.0.1:{town.port}", loaded.path, file=player.stdin, flush=True)
                said = "".join(takewhile(lambda line: line != "restored\n", player.stdout))
            assert "scenario over: " in said, player.communicate()[1]
            result = json.loads(said.partition("scenario over: ")[2])
            assert result["scenario"] == loaded.id
            assert result["sim_seconds"] > 0.0
    finally:
        player.kill()
        player.communicate()


def _world(scenario: Scenario, town: str) -> World:
    return World(town, scenario.seed, scenario.traffic.vehicles, scenario.traffic.walkers)


def test_bare_name_is_a_shipped_file() -> None:
    assert "cut_in" in library.names()
    for name in library.names():
        assert load(library.find(name)).id == name


def test_path_is_returned_unchanged() -> None:
    assert library.find("mine/cut_in.yaml") == Path("mine/cut_in.yaml")
    assert library.find("drive.XOSC") == Path("drive.XOSC")


def test_misspelt_name_suggests_the_closest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="did you mean cut_in"):
        library.find("cutin")
    with pytest.raises(ValueError, match="there are cut_in, "):
        library.find("xyz")
    assert main(["record", "overtakin", "--out", "o"]) == 2
    assert "did you mean overtaking?" in capsys.readouterr().err
