"""The options of ``neuralsim serve``: those of a drive, and who may reach it from where."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from bridge.process.option_types import Count, McapFile, Port, number
from bridge.process.options import Arg
from neuralsim.session.options import DriveOptions

Encoder = Literal["auto", "software", "vp8"]
Megabits = Annotated[float, number(0.2, 100.0, "a bit rate from 0.2 to 100 Mbit/s"), Arg("MBITS")]


class ServeOptions(DriveOptions):
    """A drive whose pictures are shown by pages, and where those come from."""

    port: Annotated[Port, Arg(group="pages")] = 8700
    """TCP port of the page."""
    host: Annotated[str, Arg("ADDRESS")] = "127.0.0.1"
    """Address to listen on; any but this machine's own needs --cert and --key."""
    token: Annotated[Path, Arg("FILE")] | None = None
    """Secret that a page has to know; the file is made where there is none (default: one beside your settings)."""
    cert: Annotated[Path, Arg("FILE.pem")] | None = None
    """TLS certificate, with its chain."""
    key: Annotated[Path, Arg("FILE.pem")] | None = None
    """Its private key."""
    encoder: Annotated[Encoder, Arg("auto|software|vp8")] = "auto"
    """Of the video: H.264 by the GPU where it can, else by the processor; software: never by the GPU; vp8: VP8."""
    bitrate: Megabits = 6.0
    """Of the video, at most, Mbit/s."""

    headless: Annotated[bool, Arg(internal=True)] = False
    replay: Annotated[McapFile, Arg(internal=True)] | None = None
    from_frame: Annotated[Count, Arg(internal=True)] | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the page."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check(self) -> None:
        """Raises ``ValueError`` for pages that others could read or take over on their way."""
        super().check()
        if (self.cert is None) != (self.key is None):
            raise ValueError("--cert and --key go together: the certificate and its private key")
        if not self.is_local and self.cert is None:
            raise ValueError(
                f"--host {self.host} is reached from other machines: give --cert and --key (docs/browser.md), "
                "or leave it out and reach this machine by ssh -L"
            )
