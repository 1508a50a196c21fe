"""One page's WebRTC connection: video to it, a data channel for HUD and controls."""

from __future__ import annotations

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

_WAITING = 6  # packets that a track holds; what is older than that is no use to a driver
_BUFFERED = 64 * 1024  # bytes on their way over the data channel from which on the HUD waits
_HIDDEN = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local\b", re.IGNORECASE)
_CODEC = re.compile(r"^m=video \S+ \S+ (\d+).*?^a=rtpmap:\1 (\w+)/", re.MULTILINE | re.DOTALL)


_REFUSED = (InternalError, InvalidAccessError, InvalidStateError, OperationError)  # aiortc's, for what it cannot do


class PeerError(ValueError):
    """The page's offer cannot be answered; one line."""


class PacketTrack(MediaStreamTrack):
    """A video that is encoded already; it begins with a key frame. ``lost`` is called when it needs another one."""

    kind = "video"

    def __init__(self, lost: Callable[[], None]) -> None:
        super().__init__()
        self._packets: asyncio.Queue[av.Packet] = asyncio.Queue()
        self._lost = lost
        self._whole = False  # what has been sent can be decoded

    def put(self, encoded: Encoded) -> None:
        """Send it after those before; where too many wait, begin anew."""
        assert isinstance(encoded.data, av.Packet)
        if self._packets.qsize() >= _WAITING:
            while not self._packets.empty():
                self._packets.get_nowait()
            self._whole = False
        if not self._whole:
            if not encoded.is_key:
                self._lost()
                return
            self._whole = True
        self._packets.put_nowait(encoded.data)

    async def recv(self) -> av.Packet:  # type: ignore[override]
        if self.readyState != "live":
            raise MediaStreamError
        return await self._packets.get()


class Peer:
    """Answers one offer. ``heard`` gets what comes over the data channel, ``closed`` is called when it fails."""

    def __init__(self, heard: Callable[[str | bytes], None], closed: Callable[[], None], lost: Callable[[], None]):
        self.mime = ""  # of the video that was agreed upon
        self.track = PacketTrack(lost)
        playout_delay.allow()
        # No STUN server: nothing outside is asked who we are.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel: RTCDataChannel | None = None
        self._heard, self._closed = heard, closed
        self._connection.on("datachannel", self._opened)
        self._connection.on("connectionstatechange", self._changed)

    @property
    def is_connected(self) -> bool:
        """Whether pictures get through."""
        return bool(self._connection.connectionState == "connected")

    @property
    def is_open(self) -> bool:
        """Whether the data channel can be used."""
        return self._channel is not None and bool(self._channel.readyState == "open")

    async def answer(self, offer: str, mimes: list[str], address: str) -> str:
        """The answer to ``offer`` (SDP both), with the first of ``mimes`` that the page can show.

        ``address`` is where the page's WebSocket comes from. Browsers hide their addresses behind names that multicast
        DNS may tell, in a second or never; that one is known. :class:`PeerError` for an offer that is none, or of a
        page that can show none of them.
        """
        connection = self._connection
        video = connection.addTransceiver(self.track, direction="sendonly")
        known = RTCRtpSender.getCapabilities("video").codecs
        video.setCodecPreferences([each for mime in mimes for each in known if each.mimeType == mime])
        try:
            await connection.setRemoteDescription(RTCSessionDescription(_HIDDEN.sub(address, offer), "offer"))
            if len(connection.getTransceivers()) != 1 or connection.sctp is None:
                raise PeerError("an offer has one video and a data channel")
            await connection.setLocalDescription(await connection.createAnswer())
        except PeerError:
            raise
        except (ValueError, LookupError, AttributeError, TypeError, AssertionError, *_REFUSED) as error:
            raise PeerError(f"this offer cannot be answered: {error}") from None
        sdp: str = connection.localDescription.sdp
        found = _CODEC.search(sdp.replace("\r", ""))
        if found is None:
            raise PeerError("this browser can show no video that is encoded here")
        self.mime = f"video/{found[2]}"
        return sdp

    def send(self, text: str) -> None:
        """Send something that may be lost; without a channel, or with one that is full, it is."""
        channel = self._channel
        if channel is not None and self.is_open and channel.bufferedAmount < _BUFFERED:
            with contextlib.suppress(InvalidStateError):
                channel.send(text)

    async def close(self) -> None:
        """End it."""
        self._connection.remove_all_listeners()
        self.track.stop()
        await self._connection.close()

    def _opened(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._heard)

    def _changed(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._closed()
