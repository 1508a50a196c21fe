"""The playout delay is negotiated if the page offers it, and is zero in every packet."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("aiortc", reason="needs the serve extra")

from aiortc import RTCConfiguration, RTCPeerConnection, rtp
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters

from neuralsim.serve import playout_delay
from neuralsim.serve.webrtc_peer import Peer


async def _answer(offers_delay: bool) -> str:
    page = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    page.addTransceiver("video", direction="recvonly")
    page.createDataChannel("drive")
    peer = Peer(lambda _message: None, lambda: None, lambda: None)  # registers the extension in this process
    try:
        await page.setLocalDescription(await page.createOffer())
        lines = page.localDescription.sdp.splitlines()
        kept = [line for line in lines if offers_delay or playout_delay.URI not in line]
        return await peer.answer("\r\n".join(kept) + "\r\n", ["video/H264"], "127.0.0.1")
    finally:
        await peer.close()
        await page.close()


@pytest.mark.parametrize("offers_delay", [True, False])
def test_it_is_negotiated_if_the_page_offers_it(offers_delay: bool) -> None:
    playout_delay.allow()
    assert (playout_delay.URI in asyncio.run(_answer(offers_delay))) == offers_delay


def test_every_packet_requests_display_without_delay() -> None:
    playout_delay.allow()
    extensions = rtp.HeaderExtensionsMap()
    packet = rtp.RtpPacket(payload=b"picture")
    packet.extensions.mid = "0"
    mid = RTCRtpHeaderExtensionParameters(id=1, uri="urn:ietf:params:rtp-hdrext:sdes:mid")
    extensions.configure(RTCRtpParameters(headerExtensions=[mid]))
    plain = packet.serialize(extensions)
    assert len(plain) == 12 + 4 + 4 + 7
    extensions.configure(
        RTCRtpParameters(headerExtensions=[RTCRtpHeaderExtensionParameters(id=5, uri=playout_delay.URI)])
    )
    sent = packet.serialize(extensions)
    profile, length = int.from_bytes(sent[12:14], "big"), int.from_bytes(sent[14:16], "big")
    values = dict(rtp.unpack_header_extensions(profile, sent[16 : 16 + 4 * length]))
    assert values == {1: b"0", 5: b"\0\0\0"}
    assert sent.endswith(b"picture")
