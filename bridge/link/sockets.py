"""ZeroMQ sockets of the links: addresses, encryption, one-line errors."""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import zmq
from zmq.auth.thread import ThreadAuthenticator

from bridge.link import LinkError
from bridge.link.curve_keys import Keys, load_keys

if TYPE_CHECKING:
    from typing_extensions import Self


def control_endpoint(endpoint: str) -> str:
    """The default control endpoint for a frame endpoint: the next TCP port, or the path + ``.control``."""
    match = re.fullmatch(r"(tcp://.*):(\d+)", endpoint)
    return f"{match[1]}:{int(match[2]) + 1}" if match else endpoint + ".control"


def is_local(endpoint: str) -> bool:
    """True for ``ipc://`` and loopback addresses. Raises ``LinkError`` for anything that is not an endpoint."""
    if endpoint.startswith("ipc://") and len(endpoint) > len("ipc://"):
        return True
    match = re.fullmatch(r"tcp://(?:\[(.+)\]|([^:]+)):(\d+|\*)", endpoint)
    if not match or (match[3] != "*" and int(match[3]) > 65535):
        raise LinkError(f"{endpoint!r} is no endpoint; use tcp://HOST:PORT or ipc://PATH")
    host = match[1] or match[2]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "lo")


class Socket:
    """One ZeroMQ socket with its context: bound or connected, encrypted when there are keys.

    ``kind``: the socket type (``zmq.ROUTER``, ...); ``endpoint``: address; ``keys``: CURVE pair or its folder;
    ``bind``: bind instead of connect; ``watched``: whether observers are admitted, or their keys will do;
    ``options``: ZeroMQ socket options by name. Raises ``LinkError``.
    """

    linger = 0  # ms that closing waits for what was sent and is not on its way

    def __init__(
        self,
        kind: int,
        endpoint: str,
        keys: str | Path | Keys | None,
        bind: bool,
        watched: bool = False,
        **options: int,
    ) -> None:
        if not is_local(endpoint) and keys is None:
            raise LinkError(f"{endpoint} is not on this machine: encrypted links only, give the keys' folder (--keys)")
        pair = keys if isinstance(keys, Keys) or keys is None else load_keys(keys)
        if pair is not None and not pair.drives and (bind or not watched):
            raise LinkError(
                "these keys are an observer's, who may watch and not drive; give the keys of the link itself"
            )
        if bind and endpoint.startswith("ipc://"):
            _refuse_taken(endpoint)
        self._context = zmq.Context()
        self._guard: ThreadAuthenticator | None = None
        self._socket: zmq.Socket[bytes] = self._context.socket(kind)
        try:
            # No ZMTP heartbeats: libzmq 4.3.5 aborts when one meets a full queue whose peer is disconnected.
            keepalive = {"TCP_KEEPALIVE": 1, "TCP_KEEPALIVE_IDLE": 5, "TCP_KEEPALIVE_INTVL": 2, "TCP_KEEPALIVE_CNT": 3}
            settings = {"LINGER": 0, "IPV6": int("[" in endpoint), **keepalive}
            for name, value in {**settings, **options}.items():
                self._socket.setsockopt(getattr(zmq, name), value)
            if pair is not None:
                self._encrypt(pair, bind, watched)
            if bind:
                self._socket.bind(re.sub(r"^(tcp://.*):0$", r"\1:*", endpoint))
            else:
                self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            verb, advice = ("bind", "choose another address") if bind else ("connect to", "check the address")
            reason = zmq.strerror(error.errno or 0).lower()
            raise LinkError(f"cannot {verb} {endpoint}: {reason}; {advice}") from None
        #: The endpoint with its real port.
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def _encrypt(self, pair: Keys, server: bool, watched: bool) -> None:
        self._socket.curve_publickey, self._socket.curve_secretkey = pair.public, pair.secret
        if not server:
            self._socket.curve_serverkey = pair.server or pair.public
            return
        self._socket.curve_server = True
        self._guard = ThreadAuthenticator(self._context)
        self._guard.start()
        self._guard.configure_curve_callback("*", credentials_provider=_Admitted(pair, watched))

    def close(self) -> None:
        """Close, within ``linger``: what is unsent then is dropped. May be called again."""
        self._socket.close(linger=self.linger)
        if self._guard is not None:
            self._guard.stop()
            self._guard = None
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Admitted:
    """Admits peers that prove to hold the same pair, or an observer's (ZeroMQ's authentication callback)."""

    def __init__(self, pair: Keys, watched: bool) -> None:
        self._public = {pair.public, *(pair.observers if watched else ())}

    def callback(self, domain: str, key: bytes) -> bool:
        return key in self._public


def _refuse_taken(endpoint: str) -> None:
    """Raise ``LinkError`` for an ``ipc`` path in use: ZeroMQ would silently take it away from a living process."""
    path = endpoint.removeprefix("ipc://")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect("\0" + path[1:] if path.startswith("@") else path)
        except OSError:
            return
    raise LinkError(f"cannot bind {endpoint}: address already in use; choose another address")
