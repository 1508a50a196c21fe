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
    """Return the default control endpoint for a frame endpoint: the next TCP port, or the path + ``.control``."""
    match = re.fullmatch(r"(tcp://.*):(\d+)", endpoint)
    return f"{match[1]}:{int(match[2]) + 1}" if match else endpoint + ".control"


def is_local(endpoint: str) -> bool:
    """Return whether ``endpoint`` is ``ipc://`` or a loopback address. Raises ``LinkError`` if it is no endpoint."""
    if endpoint.startswith("ipc://") and len(endpoint) > len("ipc://"):
        return True
    match = re.fullmatch(r"tcp://(?:\[(.+)\]|([^:]+)):(\d+|\*)", endpoint)
    if not match or (match[3] != "*" and int(match[3]) > 65535):
        raise LinkError(f"{endpoint!r} is not an endpoint; use tcp://HOST:PORT or ipc://PATH")
    host = match[1] or match[2]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "lo")


class Socket:
    """A ZeroMQ socket with its own context: bound or connected, and encrypted if there are keys. Raises ``LinkError``.

    Args:
        kind: The socket type (``zmq.ROUTER``, ...).
        endpoint: The address.
        keys: A CURVE pair or its folder.
        bind: Whether to bind instead of connect.
        observable: Whether observers are admitted, or an observer's keys are accepted.
        options: ZeroMQ socket options by name.
    """

    linger = 0  # ms that closing waits for queued messages to be sent

    def __init__(
        self,
        kind: int,
        endpoint: str,
        keys: str | Path | Keys | None,
        bind: bool,
        observable: bool = False,
        **options: int,
    ) -> None:
        if not is_local(endpoint) and keys is None:
            raise LinkError(f"{endpoint} is not on this machine: encrypted links only, pass the keys' folder (--keys)")
        pair = keys if isinstance(keys, Keys) or keys is None else load_keys(keys)
        if pair is not None and not pair.may_drive and (bind or not observable):
            raise LinkError(
                "these are an observer's keys, which may watch and not drive; use the keys of the link itself"
            )
        if bind and endpoint.startswith("ipc://"):
            _refuse_taken(endpoint)
        self._context = zmq.Context()
        self._guard: ThreadAuthenticator | None = None
        self._socket: zmq.Socket[bytes] = self._context.socket(kind)
        try:
            # No ZMTP heartbeats: libzmq 4.3.5 aborts when one hits a full queue whose peer is disconnected.
            keepalive = {"TCP_KEEPALIVE": 1, "TCP_KEEPALIVE_IDLE": 5, "TCP_KEEPALIVE_INTVL": 2, "TCP_KEEPALIVE_CNT": 3}
            settings = {"LINGER": 0, "IPV6": int("[" in endpoint), **keepalive}
            for name, value in {**settings, **options}.items():
                self._socket.setsockopt(getattr(zmq, name), value)
            if pair is not None:
                self._encrypt(pair, bind, observable)
            if bind:
                self._socket.bind(re.sub(r"^(tcp://.*):0$", r"\1:*", endpoint))
            else:
                self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            verb, advice = ("bind", "choose another address") if bind else ("connect to", "check the address")
            reason = zmq.strerror(error.errno or 0).lower()
            raise LinkError(f"cannot {verb} {endpoint}: {reason}; {advice}") from None
        #: The endpoint with its actual port.
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def _encrypt(self, pair: Keys, server: bool, observable: bool) -> None:
        self._socket.curve_publickey, self._socket.curve_secretkey = pair.public, pair.secret
        if not server:
            self._socket.curve_serverkey = pair.server or pair.public
            return
        self._socket.curve_server = True
        self._guard = ThreadAuthenticator(self._context)
        self._guard.start()
        self._guard.configure_curve_callback("*", credentials_provider=_AdmittedKeys(pair, observable))

    def close(self) -> None:
        """Close; messages that are still unsent after ``linger`` ms are dropped. May be called again."""
        self._socket.close(linger=self.linger)
        if self._guard is not None:
            self._guard.stop()
            self._guard = None
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _AdmittedKeys:
    """ZeroMQ's authentication callback: admits peers that hold the same key pair, or an observer's."""

    def __init__(self, pair: Keys, observable: bool) -> None:
        self._public = {pair.public, *(pair.observers if observable else ())}

    def callback(self, domain: str, key: bytes) -> bool:
        return key in self._public


def _refuse_taken(endpoint: str) -> None:
    """Raise ``LinkError`` for an ``ipc`` path in use: ZeroMQ would silently take it away from a running process."""
    path = endpoint.removeprefix("ipc://")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect("\0" + path[1:] if path.startswith("@") else path)
        except OSError:
            return
    raise LinkError(f"cannot bind {endpoint}: address already in use; choose another address")
