"""The server as seen by pages: access, images over both transports, and which messages are passed on."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from neuralsim.serve import picture_stamp
from neuralsim.serve import server as module
from neuralsim.serve.access import Role, Tokens
from neuralsim.serve.encoding import PageImage
from neuralsim.serve.options import ServeOptions
from neuralsim.serve.page_messages import Driving, Measured, ViewOf
from neuralsim.serve.server import Arrived, Left, PageServer
from neuralsim.session.render_loop import DriveError

TOKENS = Tokens("a-secret-of-some-length")
_PATIENCE = 20.0  # s
_NOBODY = "0f1e2d3c-0000-4000-8000-000000000000"  # a name that multicast DNS does not know


@contextmanager
def serving(**options: Any) -> Iterator[tuple[PageServer, str]]:
    """A server, and its address."""
    server = PageServer(ServeOptions(port=0, **options), TOKENS, lambda: None)
    lines = server.open()
    try:
        yield server, lines[0].split()[-1].partition("#")[0]
    finally:
        server.close()


@asynccontextmanager
async def opened(address: str, token: str = TOKENS.drive, **more: Any) -> Any:
    """A page's WebSocket that has said hello."""
    async with aiohttp.ClientSession() as session:
        headers = {"Origin": address.rstrip("/")}
        async with session.ws_connect(f"{address}session", headers=headers, **more) as socket:
            await socket.send_json({"t": "hello", "token": token})
            yield socket


def picture(number: int) -> PageImage:
    pixels = np.full((picture_stamp.ROWS + 64, 256, 4), 90, np.uint8)
    picture_stamp.write(picture_stamp.Stamp(number, number + 1, number), pixels[: picture_stamp.ROWS])
    return PageImage(pixels, number, number + 1, number, time.monotonic())


async def until(what: Callable[[], Any]) -> Any:
    """Wait until ``what`` returns something true, and return it."""
    end = time.monotonic() + _PATIENCE
    while not (result := what()):
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    return result


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 3 * _PATIENCE))


def events(server: PageServer) -> list[Any]:
    pending = []
    while (event := server.next_event()) is not None:
        pending.append(event)
    return pending


def test_strangers_and_foreign_pages_are_refused():
    async def test() -> None:
        async with opened(address, "wrong") as socket:
            assert (await socket.receive(_PATIENCE)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            assert socket.close_code == 4401
        async with aiohttp.ClientSession() as session:
            for origin in ("http://evil.example", "null", None):
                headers = {"Origin": origin} if origin else {}
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"{address}session", headers=headers)
                assert refused.value.status == 403
            async with session.get(address, headers={"Host": "evil.example"}) as answer:
                assert answer.status == 421  # DNS rebinding
            async with session.ws_connect(f"{address}session", headers={"Origin": address[:-1]}) as socket:
                await socket.send_json({"t": "drive", "n": 1})  # without a hello
                await socket.receive(_PATIENCE)
                assert socket.close_code == 4401
        assert events(server) == []

    with serving() as (server, address):
        run(test)


def test_the_page_comes_with_headers_that_keep_others_out():
    async def test() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.get(address) as answer:
                page = await answer.text()
                policy = answer.headers["Content-Security-Policy"]
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            for name in ("style.css", "app.js", "icon.svg"):
                assert name in page
                async with session.get(f"{address}{name}") as answer:
                    assert answer.status == 200
            for path in ("serve.token", "../options.py", "%2e%2e/options.py", "session/x"):
                async with session.get(f"{address}{path}") as answer:
                    assert answer.status in (404, 403)
                    assert "Content-Security-Policy" in answer.headers

    with serving() as (_, address):
        run(test)


def test_a_watcher_sees_but_cannot_drive():
    async def test() -> None:
        async with opened(address, TOKENS.watch) as socket:
            assert (await socket.receive_json(timeout=_PATIENCE))["role"] == "watch"
            await socket.send_json({"t": "drive", "n": 1, "held": ["throttle"]})
            await socket.send_json({"t": "view", "view": 2})
            measured = {"latency": [], "shown": 1, "rendered": 1, "seconds": 1.0, "transport": "websocket"}
            await socket.send_json({"t": "measured", **measured})
            await socket.send_json({"t": "fallback"})
            await until(lambda: server.watched)
            server.show(picture(7))
            data = (await socket.receive(_PATIENCE)).data
            assert struct.unpack("<III", data[:12]) == (7, 8, 7)
            assert data[12:14] == b"\xff\xd8"  # JPEG
        await until(lambda: server.count == 0)
        seen = [message for _, message in events(server)]
        assert seen[0] == Arrived(Role.WATCH)
        assert isinstance(seen[1], Measured)
        assert seen[2:] == [Left()]

    with serving() as (server, address):
        run(test)


def test_pictures_over_the_websocket_wait_for_a_page_that_is_slow():
    async def test() -> None:
        async with opened(address) as socket:
            await socket.receive_json(timeout=_PATIENCE)
            await socket.send_json({"t": "fallback"})
            await until(lambda: server.watched)
            for number in (1, 2):
                server.show(picture(number))
                assert (await socket.receive(_PATIENCE)).type == aiohttp.WSMsgType.BINARY
            server.show(picture(3))  # two are in flight, so this one is dropped
            await socket.send_json({"t": "seen", "n": 2})
            await asyncio.sleep(0.2)
            server.show(picture(4))
            data = (await socket.receive(_PATIENCE)).data
            assert struct.unpack("<III", data[:12])[0] == 4

    with serving() as (server, address):
        run(test)


def test_invalid_messages_only_end_their_connection():
    async def test() -> None:
        async with opened(address) as good:
            await good.receive_json(timeout=_PATIENCE)
            for nonsense in ("nonsense", '{"t":"drive","n":"x"}', "x" * 100_000):
                async with opened(address) as bad:
                    await bad.receive_json(timeout=_PATIENCE)
                    await bad.send_str(nonsense)
                    await bad.receive(_PATIENCE)
                    assert bad.closed
            await good.send_json({"t": "offer", "sdp": "v=0\r\nnonsense"})
            assert (await good.receive_json(timeout=_PATIENCE))["t"] == "failed"
            await good.send_json({"t": "view", "view": 3})
            await until(lambda: ("page 1", ViewOf(3)) in events(server))

    with serving() as (server, address):
        run(test)


def test_too_many_pages_are_refused(monkeypatch: pytest.MonkeyPatch):
    async def test() -> None:
        async with opened(address) as first:
            await first.receive_json(timeout=_PATIENCE)
            async with opened(address) as second:
                await second.receive(_PATIENCE)
                assert second.close_code == 4429

    monkeypatch.setattr(module, "MAX_PAGES", 1)
    with serving() as (_, address):
        run(test)


@pytest.mark.parametrize(("encoder", "mime"), [("software", "video/H264"), ("vp8", "video/VP8")])
def test_webrtc_brings_video_hud_and_controls(encoder: str, mime: str):
    async def test() -> None:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.addTransceiver("video", direction="recvonly")
        channel = peer.createDataChannel("drive", ordered=False, maxRetransmits=0)
        messages: list[dict[str, Any]] = []
        channel.on("message", lambda text: messages.append(json.loads(text)))
        tracks: list[Any] = []
        peer.on("track", tracks.append)
        async with opened(address) as socket:
            await socket.receive_json(timeout=_PATIENCE)
            await peer.setLocalDescription(await peer.createOffer())
            hidden = re.sub(
                r"(candidate:.* UDP \d+ )\S+", rf"\g<1>{_NOBODY}.local", peer.localDescription.sdp, flags=re.I
            )
            assert hidden.count(_NOBODY) >= 1  # as browsers do
            await socket.send_json({"t": "offer", "sdp": hidden})
            answer = await socket.receive_json(timeout=_PATIENCE)
            await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
            assert f"{mime.removeprefix('video/')}/90000" in answer["sdp"]
            await until(lambda: channel.readyState == "open" and server.watched)
            channel.send('{"t":"drive","n":5,"held":["throttle"]}')
            channel.send("nonsense")
            channel.send('{"t":"menu","shown":true}')  # ignored: the data channel may lose it
            received: list[Any] = []
            await until(
                lambda: received.extend(events(server)) or any(isinstance(each[1], Driving) for each in received)
            )
            assert [each[1] for each in received] == [Arrived(Role.DRIVE), Driving(n=5, held=("throttle",))]
            video = asyncio.ensure_future(tracks[0].recv())
            number = 100
            while not video.done():
                number += 1
                server.show(picture(number))
                server.send_lossy({"t": "hud", "n": number})
                await asyncio.sleep(0.03)
            frame = video.result().to_ndarray(format="rgb24")
            seen = picture_stamp.read(frame[: picture_stamp.ROWS])
            assert seen is not None
            assert 100 < seen.picture <= number
            assert seen.control == seen.picture + 1
            assert any(message["t"] == "hud" for message in messages)
            await socket.send_json({"t": "fallback", "lost": True})
            jpeg = asyncio.ensure_future(socket.receive(_PATIENCE))
            while not jpeg.done():
                server.show(picture(number))
                await asyncio.sleep(0.03)
            assert jpeg.result().type == aiohttp.WSMsgType.BINARY
            assert "jpeg" in server.encoders()
        await peer.close()
        await until(lambda: server.count == 0)

    with serving(encoder=encoder) as (server, address):
        run(test)


def test_a_port_in_use_is_reported_in_one_line():
    with serving() as (_, address), pytest.raises(DriveError, match=r"cannot listen on .*try another --port"):
        PageServer(ServeOptions(port=int(address.rsplit(":", 1)[1][:-1])), TOKENS, lambda: None).open()


def test_other_machines_connect_with_tls(tmp_path: Path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "2", "-subj", "/CN=sim.example", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)

    async def test() -> None:
        trust = ssl.create_default_context(cafile=str(cert))
        trust.check_hostname = False
        assert address.startswith("https://")
        assert "0.0.0.0" not in address  # which no browser can open
        page = f"https://127.0.0.1:{address.rsplit(':', 1)[1]}"
        async with opened(page, ssl=trust) as socket:
            assert (await socket.receive_json(timeout=_PATIENCE))["role"] == "drive"
        async with opened(page, "wrong", ssl=trust) as socket:
            await socket.receive(_PATIENCE)
            assert socket.close_code == 4401

    with serving(host="0.0.0.0", cert=cert, key=key) as (_, address):
        run(test)
    with pytest.raises(DriveError, match="cannot be used"), serving(cert=key, key=cert):
        pass
