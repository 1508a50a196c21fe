"""The options of ``neuralsim serve``: those of a drive, and those of the web server."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from bridge.process.option_types import Count, McapFile, Port, number
from bridge.process.options import Arg
from neuralsim.session.options import DriveOptions

Encoder = Literal["auto", "software", "vp8"]
Megabits = Annotated[float, number(0.2, 100.0, "a bit rate from 0.2 to 100 Mbit/s"), Arg("MBITS")]


class ServeOptions(DriveOptions):
    """A drive that is displayed on web pages."""

    port: Annotated[Port, Arg(group="pages")] = 8700
    """TCP port of the page."""
    host: Annotated[str, Arg("ADDRESS")] = "127.0.0.1"
    """Address to listen on; any other than loopback needs --cert and --key."""
    token: Annotated[Path, Arg("FILE")] | None = None
    """File with the secret that a page needs; created if missing (default: next to your cockpit settings)."""
    cert: Annotated[Path, Arg("FILE.pem")] | None = None
    """TLS certificate with its chain."""
    key: Annotated[Path, Arg("FILE.pem")] | None = None
    """Private key of the certificate."""
    encoder: Annotated[Encoder, Arg("auto|software|vp8")] = "auto"
    """Video encoder: auto (H.264, on the GPU if possible), software (H.264 on the CPU) or vp8."""
    bitrate: Megabits = 6.0
    """Maximum bit rate of the video, Mbit/s."""

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
        """Raise ``ValueError`` if the connection could be read or hijacked."""
        super().check()
        if (self.cert is None) != (self.key is None):
            raise ValueError("--cert and --key go together: a certificate and its private key")
        if not self.is_local and self.cert is None:
            raise ValueError(
                f"--host {self.host} can be reached from other machines: add --cert and --key (docs/guide/browser.md), "
                "or leave it out and connect through ssh -L"
            )
