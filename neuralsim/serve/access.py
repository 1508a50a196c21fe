"""Who may see and drive: tokens, and which pages of which sites may open a connection."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

_BYTES = 24  # of a token: too many to be guessed
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]{16,}", re.ASCII)  # what stands in a link as it is
_MOST = 1024  # bytes of its file
_LOCAL = {"localhost", "127.0.0.1", "::1"}
#: What every answer says: nothing is loaded from elsewhere, nobody frames the page, nothing tells where it was opened.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), gamepad=(self), fullscreen=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Role(Enum):
    """What a page may do."""

    DRIVE = "drive"  # and watch
    WATCH = "watch"


class Tokens:
    """The token that lets drive, and the one made from it that lets watch: that one does not tell the first."""

    def __init__(self, token: str) -> None:
        self.drive = token
        self.watch = "w-" + hmac.new(token.encode(), b"neuralsim watch", hashlib.sha256).hexdigest()[:40]

    def role(self, given: str) -> Role | None:
        """What ``given`` lets do, None for nothing. Takes as long for a token that is nearly right."""
        found = None
        for token, role in ((self.drive, Role.DRIVE), (self.watch, Role.WATCH)):
            if hmac.compare_digest(token.encode(), given.encode("utf-8", "surrogatepass")):
                found = role
        return found

    @classmethod
    def kept(cls, file: Path) -> Tokens:
        """Those of ``file``, which is made, for this user alone, where there is none.

        Raises ``OSError``, or ``ValueError``, one line, for a file that holds no token or that others may read.
        """
        with contextlib.suppress(FileExistsError):
            file.parent.mkdir(parents=True, exist_ok=True)
            made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(made, "w", encoding="ascii") as written:
                written.write(secrets.token_urlsafe(_BYTES) + "\n")
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise ValueError(f"{file}: others may read this token; chmod 600 {file}")
        with file.open("rb") as read:
            token = read.read(_MOST).decode("ascii", "replace").strip()
        if not _TOKEN.fullmatch(token):
            raise ValueError(f"{file}: a token is a word of 16 or more letters, digits, -_.~; remove it for a new one")
        return cls(token)


def is_own_page(host: str | None, origin: str | None, *, tls: bool, local: bool) -> bool:
    """Whether a connection with these headers (``Host``, ``Origin``) was opened by a page of this server.

    A browser says in ``Origin`` whose page opens a WebSocket, and that need not be ours. On a loopback server ``Host``
    has to be a name of this machine: else a stranger's name that points here (DNS rebinding) would make their page
    ours.
    """
    if not host or not is_own_host(host, local=local):
        return False
    return origin is not None and origin.lower() == f"{'https' if tls else 'http'}://{host}".lower()


def is_own_host(host: str | None, *, local: bool) -> bool:
    """Whether a request with this header ``Host`` is meant for this server."""
    if not host:
        return False
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name in _LOCAL if local else bool(name)
