"""The WebRTC connection of one page: video, and a data channel for HUD and controls."""

import asyncio
import contextlib
import re
from collections.abc import Callable

import av
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from neuralsim.serve import playout_delay
from neuralsim.serve.encoding import Encoded

_WAITING = 6  # maximum packets in a track's queue; older ones are useless to a driver
_BUFFERED = 64 * 1024  # buffered bytes of the data channel from which HUD messages are dropped
_HIDDEN = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local\b", re.IGNORECASE)
_CODEC = re.compile(r"^m=video \S+ \S+ (\d+).*?^a=rtpmap:\1 (\w+)/", re.MULTILINE | re.DOTALL)


_REFUSED = (InternalError, InvalidAccessError, InvalidStateError, OperationError)  # of aiortc


class PeerError(ValueError):
    """The page's offer cannot be answered; the message is one line."""


class PacketTrack(MediaStreamTrack):
    """A track of encoded video that starts with a key frame; calls ``request_key`` when it needs another one."""

    kind = "video"

    def __init__(self, request_key: Callable[[], None]) -> None:
        super().__init__()
        self._packets: asyncio.Queue[av.Packet] = asyncio.Queue()
        self._request_key = request_key
        self._is_decodable = False  # whether a key frame was sent and nothing since was dropped

    def put(self, encoded: Encoded) -> None:
        """Queue a packet; if too many are waiting, drop them and restart from a key frame."""
        assert isinstance(encoded.data, av.Packet)
        if self._packets.qsize() >= _WAITING:
            while not self._packets.empty():
                self._packets.get_nowait()
            self._is_decodable = False
        if not self._is_decodable:
            if not encoded.is_key:
                self._request_key()
                return
            self._is_decodable = True
        self._packets.put_nowait(encoded.data)

    async def recv(self) -> av.Packet:  # type: ignore[override]
        if self.readyState != "live":
            raise MediaStreamError
        return await self._packets.get()


class Peer:
    """Answers one offer. ``on_message`` receives the data channel's messages, ``on_closed`` is called on failure."""

    def __init__(
        self,
        on_message: Callable[[str | bytes], None],
        on_closed: Callable[[], None],
        request_key: Callable[[], None],
    ) -> None:
        self.mime = ""  # of the negotiated video
        self.track = PacketTrack(request_key)
        playout_delay.allow()
        # No STUN server: no external server learns about us.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel: RTCDataChannel | None = None
        self._on_message, self._on_closed = on_message, on_closed
        self._connection.on("datachannel", self._opened)
        self._connection.on("connectionstatechange", self._changed)

    @property
    def is_connected(self) -> bool:
        """Whether the connection is established."""
        return bool(self._connection.connectionState == "connected")

    @property
    def is_open(self) -> bool:
        """Whether the data channel is open."""
        return self._channel is not None and bool(self._channel.readyState == "open")

    async def answer(self, offer: str, mimes: list[str], address: str) -> str:
        """Return the answer to ``offer`` (both SDP), with the first of ``mimes`` that the page supports.

        ``address`` is that of the page's WebSocket. It replaces the multicast DNS names behind which browsers hide
        their addresses, and which may take a second to resolve, or fail. Raises :class:`PeerError` for an invalid offer
        or one without a supported codec.
        """
        connection = self._connection
        video = connection.addTransceiver(self.track, direction="sendonly")
        known = RTCRtpSender.getCapabilities("video").codecs
        video.setCodecPreferences([each for mime in mimes for each in known if each.mimeType == mime])
        try:
            await connection.setRemoteDescription(RTCSessionDescription(_HIDDEN.sub(address, offer), "offer"))
            if len(connection.getTransceivers()) != 1 or connection.sctp is None:
                raise PeerError("an offer needs one video and a data channel")
            await connection.setLocalDescription(await connection.createAnswer())
        except PeerError:
            raise
        except (ValueError, LookupError, AttributeError, TypeError, AssertionError, *_REFUSED) as error:
            raise PeerError(f"this offer cannot be answered: {error}") from None
        sdp: str = connection.localDescription.sdp
        codec = _CODEC.search(sdp.replace("\r", ""))
        if codec is None:
            raise PeerError("this browser supports none of the video codecs")
        self.mime = f"video/{codec[2]}"
        return sdp

    def send(self, text: str) -> None:
        """Send a message that may be lost; it is dropped without an open channel or if the buffer is full."""
        channel = self._channel
        if channel is not None and self.is_open and channel.bufferedAmount < _BUFFERED:
            with contextlib.suppress(InvalidStateError):
                channel.send(text)

    async def close(self) -> None:
        """Close the connection."""
        self._connection.remove_all_listeners()
        self.track.stop()
        await self._connection.close()

    def _opened(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._on_message)

    def _changed(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._on_closed()
