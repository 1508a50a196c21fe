"""One page that is open: what it is sent, by which way."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable

import msgspec
from aiohttp import WSCloseCode, web

from neuralsim.serve import page_messages
from neuralsim.serve.access import Role
from neuralsim.serve.encoding import Encoded
from neuralsim.serve.webrtc_peer import Peer, PeerError

JPEG = "image/jpeg"  # as a stream: pictures over the WebSocket
_WAITING = 400  # messages for a page that does not take them, after which it is given up
_UNSEEN = 2  # pictures on their way over the WebSocket: more would only grow old in buffers
_PICTURE = struct.Struct("<III")  # numbers of a picture over the WebSocket: its own, the control's, the painted one's


class Page:
    """``heard`` gets what it says over its data channel, ``lost`` the stream of which it needs a key frame.

    ``address`` is that of its machine.
    """

    def __init__(
        self,
        name: str,
        role: Role,
        socket: web.WebSocketResponse,
        address: str,
        heard: Callable[[page_messages.Message], None],
        lost: Callable[[str], None],
    ) -> None:
        self.name, self.role = name, role
        self._socket, self._address, self._heard, self._lost = socket, address, heard, lost
        self._peer: Peer | None = None
        self._falls_back = False  # pictures come over the WebSocket while there is no WebRTC
        self._unseen: list[int] = []  # pictures on their way over the WebSocket
        self._waiting: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._ending: asyncio.Future[bool] | None = None
        self._writer = asyncio.ensure_future(self._write())

    @property
    def stream(self) -> str:
        """What it is shown: a MIME type, "" for nothing yet."""
        if self._peer is not None and self._peer.is_connected:
            return self._peer.mime
        return JPEG if self._falls_back else ""

    @property
    def is_free(self) -> bool:
        """Whether it would take another picture now."""
        return bool(self.stream) and (self.stream != JPEG or len(self._unseen) < _UNSEEN)

    def tell(self, message: str | bytes) -> None:
        """Send it after all before; a page that takes nothing is closed."""
        if self._waiting.qsize() < _WAITING:
            self._waiting.put_nowait(message)
        elif not self._writer.cancelled():
            self._writer.cancel()
            self._ending = asyncio.ensure_future(self._socket.close(code=WSCloseCode.TRY_AGAIN_LATER))

    def tell_fast(self, text: str) -> None:
        """Send something that may be lost."""
        if self._peer is not None and self._peer.is_open:
            self._peer.send(text)
        elif self._waiting.qsize() < _UNSEEN:
            self.tell(text)

    def show(self, encoded: Encoded) -> None:
        """Send a picture."""
        if self._peer is not None and self.stream == self._peer.mime:
            self._peer.track.put(encoded)
        elif isinstance(encoded.data, bytes) and self.is_free:
            picture = encoded.picture
            self._unseen.append(picture.number)
            numbers = (picture.number, picture.control, picture.painted)
            self.tell(_PICTURE.pack(*(number % (1 << 32) for number in numbers)) + encoded.data)

    def seen(self, number: int) -> None:
        """A picture has come, and with it all before."""
        self._unseen = [each for each in self._unseen if each > number]

    async def answer(self, offer: str, mimes: list[str]) -> str:
        """Agree on WebRTC; the MIME type of the video, "" where that is not possible (the page falls back)."""
        await self._end_peer()
        peer = self._peer = Peer(self._hear, lambda: self._say(t="failed"), lambda: self._lost(peer.mime))
        try:
            sdp = await peer.answer(offer, mimes, self._address)
        except PeerError as error:
            await self._end_peer()
            self._say(t="failed", why=str(error))
            return ""
        self._say(t="answer", sdp=sdp)
        return peer.mime

    async def fall_back(self, lost: bool) -> None:
        """Pictures over the WebSocket until WebRTC works, if ever; ``lost``: it does no longer."""
        if lost:
            await self._end_peer()
        self._unseen.clear()
        self._falls_back = True

    async def close(self, code: int, why: str) -> None:
        """End all of it."""
        self._writer.cancel()
        self._falls_back = False
        await self._end_peer()
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._socket.close(code=code, message=why.encode())

    async def _end_peer(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            await peer.close()

    def _say(self, **message: str) -> None:
        self.tell(msgspec.json.encode(message).decode())

    def _hear(self, text: str | bytes) -> None:
        """The data channel carries what may be lost, and nothing that is no message."""
        with contextlib.suppress(page_messages.MessageError):
            message = page_messages.decode(text)
            if isinstance(message, page_messages.Driving):
                self._heard(message)

    async def _write(self) -> None:
        try:
            while True:
                message = await self._waiting.get()
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_str(message)
        except (ConnectionError, RuntimeError):  # it has gone: the reader notices
            return
