"""The connection to one open page: what is sent to it, over WebRTC or the WebSocket."""

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

JPEG = "image/jpeg"  # as a stream: images over the WebSocket
_WAITING = 400  # queued messages after which an unresponsive page is disconnected
_UNSEEN = 2  # images in flight over the WebSocket: more would only get old in buffers
_STAMP = struct.Struct("<III")  # the numbers of the stamp of an image over the WebSocket


class Page:
    """An open page on the machine ``address``.

    ``on_message`` receives its messages over the data channel, ``request_key`` the stream it needs a key frame of.
    """

    def __init__(
        self,
        name: str,
        role: Role,
        socket: web.WebSocketResponse,
        address: str,
        on_message: Callable[[page_messages.Message], None],
        request_key: Callable[[str], None],
    ) -> None:
        self.name, self.role = name, role
        self._socket, self._address = socket, address
        self._on_message, self._request_key = on_message, request_key
        self._peer: Peer | None = None
        self._falls_back = False  # images go over the WebSocket while there is no WebRTC
        self._unseen: list[int] = []  # numbers of images in flight over the WebSocket
        self._waiting: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._ending: asyncio.Future[bool] | None = None
        self._writer = asyncio.ensure_future(self._write())

    @property
    def stream(self) -> str:
        """MIME type of the stream to the page, "" for none yet."""
        if self._peer is not None and self._peer.is_connected:
            return self._peer.mime
        return JPEG if self._falls_back else ""

    @property
    def is_free(self) -> bool:
        """Whether the page can take another image now."""
        return bool(self.stream) and (self.stream != JPEG or len(self._unseen) < _UNSEEN)

    def send(self, message: str | bytes) -> None:
        """Queue a message for the WebSocket; an unresponsive page is disconnected."""
        if self._waiting.qsize() < _WAITING:
            self._waiting.put_nowait(message)
        elif not self._writer.cancelled():
            self._writer.cancel()
            self._ending = asyncio.ensure_future(self._socket.close(code=WSCloseCode.TRY_AGAIN_LATER))

    def send_lossy(self, text: str) -> None:
        """Send a message that may be lost."""
        if self._peer is not None and self._peer.is_open:
            self._peer.send(text)
        elif self._waiting.qsize() < _UNSEEN:
            self.send(text)

    def show(self, encoded: Encoded) -> None:
        """Send an image."""
        if self._peer is not None and self.stream == self._peer.mime:
            self._peer.track.put(encoded)
        elif isinstance(encoded.data, bytes) and self.is_free:
            image = encoded.image
            self._unseen.append(image.number)
            numbers = (image.number, image.control, image.rendered)
            self.send(_STAMP.pack(*(number % (1 << 32) for number in numbers)) + encoded.data)

    def acknowledge(self, number: int) -> None:
        """Take note that an image, and thus all before it, has arrived."""
        self._unseen = [each for each in self._unseen if each > number]

    async def answer(self, offer: str, mimes: list[str]) -> str:
        """Answer a WebRTC offer; return the video's MIME type, "" on failure (the page falls back)."""
        await self._end_peer()
        peer = self._peer = Peer(
            self._receive, lambda: self._send_json(t="failed"), lambda: self._request_key(peer.mime)
        )
        try:
            sdp = await peer.answer(offer, mimes, self._address)
        except PeerError as error:
            await self._end_peer()
            self._send_json(t="failed", why=str(error))
            return ""
        self._send_json(t="answer", sdp=sdp)
        return peer.mime

    async def fall_back(self, lost: bool) -> None:
        """Send images over the WebSocket until WebRTC works, if ever; ``lost``: WebRTC has failed."""
        if lost:
            await self._end_peer()
        self._unseen.clear()
        self._falls_back = True

    async def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        self._writer.cancel()
        self._falls_back = False
        await self._end_peer()
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._socket.close(code=code, message=reason.encode())

    async def _end_peer(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            await peer.close()

    def _send_json(self, **message: str) -> None:
        self.send(msgspec.json.encode(message).decode())

    def _receive(self, text: str | bytes) -> None:
        """Take a message of the data channel; only ``Driving`` may come this way, anything else is ignored."""
        with contextlib.suppress(page_messages.MessageError):
            message = page_messages.decode(text)
            if isinstance(message, page_messages.Driving):
                self._on_message(message)

    async def _write(self) -> None:
        try:
            while True:
                message = await self._waiting.get()
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_str(message)
        except (ConnectionError, RuntimeError):  # disconnected: the reader will notice
            return
