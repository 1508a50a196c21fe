"""Clients of other versions of CARLA: by the calls and numbers that their sources give, since no package is at hand."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from helpers.wire_client import RawClient, run_client
from helpers.wire_world import OneRoad

from neuralsim.town.carla_server import handlers, structs  # noqa: F401 (registers the functions)
from neuralsim.town.carla_server.town_server import TownServer


@pytest.fixture(params=["0.9.16", "0.9.15"])
def town(request: pytest.FixtureRequest) -> Iterator[TownServer]:
    dialect = structs.DIALECTS[request.param]
    server = TownServer(OneRoad, "oneroad", ["oneroad"], port=0, prepare_rays=False, dialect=dialect)
    server.start()
    yield server
    server.close()


def test_a_client_before_0_9_14_is_refused_and_the_server_goes_on(
    town: TownServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """0.9.5's ``get_world()`` calls these three, connects to the stream of the token, and ended in a crash."""
    old = RawClient(town.port)
    assert old.call("version") == [[1, town.dialect.version]]
    token = bytes(old.call("get_episode_info")[0][1][1][0])
    stream, port = struct.unpack("<IH", token[:6])
    assert (stream, port) == (town.snapshots, 0), "no stream that it could read"
    status, (message,) = old.call("get_episode_settings")[0]
    assert status == 0
    assert f"install carla=={town.dialect.version}" in message
    assert "refused a client older than CARLA 0.9.14" in capfd.readouterr().err
    new = RawClient(town.port)
    new.call("get_episode_info")
    assert struct.unpack("<IH", bytes(new.call("get_sensor_token", stream)[0][1][0])[:6]) == (stream, town.streams.port)
    assert new.call("get_episode_settings")[0][0] == 1


def test_snapshots_have_the_number_of_the_clients_version(town: TownServer) -> None:
    client = RawClient(town.port)
    definitions = client.call("get_actor_definitions")[0][1]
    assert all(
        structs.SENSOR_TYPES.get(ident, 0) < town.dialect.world_observer or town.dialect is structs.NEWEST
        for _, ident, *_ in definitions
    )
    header = structs.sensor_header(town.dialect.world_observer, 1, 0.0, structs.Transform())
    seen: list[bytes] = []
    town.streams.publish = lambda stream, parts, **_: seen.append(bytes(parts[0]))  # type: ignore[method-assign]
    town._publish_snapshot(0.05)
    assert seen[0][:8] == header[:8] == {"0.9.16": 17, "0.9.15": 16}[town.dialect.version].to_bytes(8, "little")


def test_todays_client_is_told_of_the_other_version(town: TownServer) -> None:
    run_client(town.port, f'assert client.get_server_version() == "{town.dialect.version}"')
