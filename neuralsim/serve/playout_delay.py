"""Display without buffering: WebRTC's playout delay, a header extension that aiortc does not support.

http://www.webrtc.org/experiments/rtp-hdrext/playout-delay: the minimum and maximum delay of a frame at the receiver,
12 bits each in units of 10 ms. Both 0 means "render as soon as possible", for remote control and games.
"""

from aiortc import codecs, rtp
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters

URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
_NO_DELAY = bytes(3)


class _Extensions(rtp.HeaderExtensionsMap):
    """The header extensions of one stream: aiortc's own, and the playout delay if it was negotiated."""

    def __init__(self) -> None:
        super().__init__()
        self._id: int | None = None

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        for extension in parameters.headerExtensions:
            if extension.uri == URI:
                self._id = extension.id

    def set(self, values: rtp.HeaderExtensions) -> tuple[int, bytes]:
        profile, packed = super().set(values)
        if self._id is None:
            return profile, packed
        known = rtp.unpack_header_extensions(profile, packed)
        extended: tuple[int, bytes] = rtp.pack_header_extensions([*known, (self._id, _NO_DELAY)])
        return extended


def allow() -> None:
    """Make further connections of this process negotiate the extension for video."""
    offered = codecs.HEADER_EXTENSIONS["video"]
    if all(extension.uri != URI for extension in offered):
        offered.append(RTCRtpHeaderExtensionParameters(id=max(each.id for each in offered) + 1, uri=URI))
        rtp.HeaderExtensionsMap = _Extensions  # type: ignore[misc]
