"""Access control: tokens for driving and watching, and the origins that may open a connection."""

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

_BYTES = 24  # of a token: enough not to be guessed
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]{16,}", re.ASCII)  # characters that need no escaping in a link
_MOST = 1024  # bytes read of a token file
_LOCAL = {"localhost", "127.0.0.1", "::1"}
#: Headers of every response: no external resources, no framing of the page, no referrer.
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
    """The permission of a page."""

    DRIVE = "drive"  # includes watching
    WATCH = "watch"


class Tokens:
    """The token for driving, and one for watching derived from it, which does not reveal the first."""

    def __init__(self, token: str) -> None:
        self.drive = token
        self.watch = "w-" + hmac.new(token.encode(), b"neuralsim watch", hashlib.sha256).hexdigest()[:40]

    def role(self, given: str) -> Role | None:
        """Return the role of the token ``given``, None if it is invalid. Compares in constant time."""
        result = None
        for token, role in ((self.drive, Role.DRIVE), (self.watch, Role.WATCH)):
            if hmac.compare_digest(token.encode(), given.encode("utf-8", "surrogatepass")):
                result = role
        return result

    @classmethod
    def load_or_create(cls, file: Path) -> Tokens:
        """Return the tokens of ``file``, which is created, readable only by this user, if it does not exist.

        Raises ``OSError``, or ``ValueError`` (one line) if the file holds no token or others may read it.
        """
        with contextlib.suppress(FileExistsError):
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="ascii") as created:
                created.write(secrets.token_urlsafe(_BYTES) + "\n")
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise ValueError(f"{file}: other users can read this token; run chmod 600 {file}")
        with file.open("rb") as opened:
            token = opened.read(_MOST).decode("ascii", "replace").strip()
        if not _TOKEN.fullmatch(token):
            raise ValueError(
                f"{file}: a token has 16 or more letters, digits or -_.~; delete the file to get a new one"
            )
        return cls(token)


def is_own_page(host: str | None, origin: str | None, *, tls: bool, local: bool) -> bool:
    """Return whether a connection with these headers (``Host``, ``Origin``) comes from a page of this server.

    Any page may open a WebSocket here; ``Origin`` tells which one did. On a loopback server, ``Host`` has to be a name
    of this machine, since otherwise a foreign name that resolves to it (DNS rebinding) would pass.
    """
    if not host or not is_own_host(host, local=local):
        return False
    return origin is not None and origin.lower() == f"{'https' if tls else 'http'}://{host}".lower()


def is_own_host(host: str | None, *, local: bool) -> bool:
    """Return whether a request with this header ``Host`` is meant for this server."""
    if not host:
        return False
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name in _LOCAL if local else bool(name)
