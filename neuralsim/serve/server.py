"""The web server: a static page, and for each open page a WebSocket and a WebRTC connection.

It runs in its own thread. The drive takes the pages' messages from ``next_event`` and passes images to ``show``.
"""

import asyncio
import contextlib
import logging
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import resources
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from neuralsim.base.failure import reason
from neuralsim.drive.key_bindings import HELP, KEYS
from neuralsim.serve import page_messages
from neuralsim.serve.access import HEADERS, Role, Tokens, is_own_host, is_own_page
from neuralsim.serve.encoding import Encoded, EncodingThread, JpegEncoder, PageImage, VideoEncoder
from neuralsim.serve.options import ServeOptions
from neuralsim.serve.page_connection import JPEG, Page
from neuralsim.session.render_loop import DriveError

MAX_PAGES = 16  # open at the same time
_UNAUTHENTICATED = 32  # maximum connections without a token yet
_HELLO_TIMEOUT = 5.0  # s in which they have to send it
_PING = 10.0  # s between two pings; a page that does not answer is disconnected
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: Entries of the help that do not apply to a page: they concern the window, or browsers reserve the key.
_NOT_IN_BROWSER = {
    "quit immediately",
    "fullscreen",
    "screenshot with HUD",
    "screenshot without HUD",
    "skip the tutorial",
    "frame graph",
}
_SCREENSHOT = (("Ctrl+S",), "save a screenshot")
_REFUSED = 4401  # close code: wrong token
_FULL = 4429  # close code: too many pages


@dataclass(frozen=True)
class Arrived:
    """A page was admitted."""

    role: Role


@dataclass(frozen=True)
class Left:
    """A page has disconnected."""


Event = tuple[str, page_messages.Message | Arrived | Left]


class PageServer:
    """Listens from ``open`` to ``close``; ``wake`` is called whenever there is an event."""

    def __init__(self, options: ServeOptions, tokens: Tokens, wake: Callable[[], None]) -> None:
        self._options, self._tokens, self._wake = options, tokens, wake
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._pages: dict[str, Page] = {}
        self._unauthenticated = 0
        self._page_count = 0  # pages so far
        self._streams: dict[str, EncodingThread] = {}  # by MIME type
        self._files = _files()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="pages", daemon=True)
        self._opened: Future[int] = Future()
        self._closing = asyncio.Event()

    # For the drive's thread

    def open(self) -> list[str]:
        """Start listening and return lines with the addresses. Raises :class:`DriveError`."""
        self._thread.start()
        port = self._opened.result()
        options, tls = self._options, self._options.cert is not None
        everywhere = options.host in ("0.0.0.0", "::")  # not an address that a browser can open
        host = socket.gethostname() if everywhere else f"[{options.host}]" if ":" in options.host else options.host
        page = f"{'https' if tls else 'http'}://{host}:{port}/"
        return [f"To drive: {page}#{self._tokens.drive}", f"To watch: {page}#{self._tokens.watch}"]

    def close(self) -> None:
        """Disconnect all pages and stop."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(3.0)

    def next_event(self) -> Event | None:
        """Return the next event, None if there is none."""
        try:
            return self._events.get_nowait()
        except queue.Empty:
            return None

    @property
    def count(self) -> int:
        """Number of open pages."""
        return len(self._pages)

    @property
    def watched(self) -> bool:
        """Whether any page has a video stream."""
        return any(page.stream for page in list(self._pages.values()))

    def encoders(self) -> dict[str, float]:
        """Return the milliseconds per image of each active encoder."""
        times = [(stream.encoder.name, stream.milliseconds) for stream in list(self._streams.values())]
        return {name: round(milliseconds, 1) for name, milliseconds in times if name}

    def send(self, message: dict[str, Any], page: str = "") -> None:
        """Send a message reliably to a page, or to all pages."""
        text = msgspec.json.encode(message).decode()
        self._soon(self._send_text, text, page)

    def send_lossy(self, message: dict[str, Any]) -> None:
        """Send a message that may be lost to all pages, since the next one replaces it."""
        self._soon(self._send_lossy, msgspec.json.encode(message).decode())

    def show(self, image: PageImage) -> None:
        """Send an image to all pages."""
        streams = {page.stream for page in list(self._pages.values()) if page.is_free}
        for mime in streams & self._streams.keys():
            self._streams[mime].submit(image)

    # The thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        logging.getLogger("aioice").setLevel(logging.ERROR)  # it logs addresses
        try:
            self._loop.run_until_complete(self._serve())
        except (OSError, ValueError) as error:
            self._opened.set_exception(DriveError(self._error_message(error)))
        finally:
            for stream in self._streams.values():
                stream.stop()
            self._loop.close()

    async def _serve(self) -> None:
        options = self._options
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/session", self._session)
        app.router.add_get("/{name:[a-z.]*}", self._file)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, options.host, options.port, ssl_context=_tls(options))
            await site.start()
            self._opened.set_result(runner.addresses[0][1])
            await self._closing.wait()
            for page in list(self._pages.values()):
                await page.close(WSCloseCode.GOING_AWAY, "the server is shutting down")
        finally:
            await runner.cleanup()

    def _error_message(self, error: BaseException) -> str:
        options = self._options
        if isinstance(error, ssl.SSLError | FileNotFoundError | PermissionError) and options.cert is not None:
            return f"--cert {options.cert} and --key {options.key} cannot be used: {error}"
        return f"cannot listen on {options.host}:{options.port} ({reason(error)}): try another --port"

    def _soon(self, call: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call, *arguments)

    def _send_text(self, text: str, page: str) -> None:
        for each in [self._pages.get(page)] if page else list(self._pages.values()):
            if each is not None:
                each.send(text)

    def _send_lossy(self, text: str) -> None:
        for page in self._pages.values():
            page.send_lossy(text)

    def _emit(self, page: str, event: page_messages.Message | Arrived | Left) -> None:
        self._events.put((page, event))
        self._wake()

    # HTTP

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        """Answer only requests that are meant for this server, with ``access.HEADERS``."""
        if not is_own_host(request.headers.get("Host"), local=self._options.is_local):
            answer: web.StreamResponse = web.Response(status=421, text="wrong host name for this server\n")
        else:
            try:
                answer = await handler(request)
            except web.HTTPException as error:
                answer = web.Response(status=error.status, text=f"{error.reason}\n")
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"] or "index.html"
        if name not in self._files:
            raise web.HTTPNotFound
        kind, data = self._files[name]
        return web.Response(body=data, content_type=kind, charset="utf-8")

    async def _session(self, request: web.Request) -> web.StreamResponse:
        headers, options = request.headers, self._options
        tls = options.cert is not None
        if not is_own_page(headers.get("Host"), headers.get("Origin"), tls=tls, local=options.is_local):
            raise web.HTTPForbidden
        if self._unauthenticated >= _UNAUTHENTICATED:
            raise web.HTTPServiceUnavailable
        connection = web.WebSocketResponse(heartbeat=_PING, max_msg_size=page_messages.MOST, compress=False)
        self._unauthenticated += 1
        try:
            await connection.prepare(request)
            role = await self._authenticate(connection)
        finally:
            self._unauthenticated -= 1
        if role is None:
            await connection.close(code=_REFUSED, message=b"invalid token")
        elif len(self._pages) >= MAX_PAGES:
            await connection.close(code=_FULL, message=b"too many open pages")
        else:
            await self._converse(connection, role, request.remote or "127.0.0.1")
        return connection

    async def _authenticate(self, socket: web.WebSocketResponse) -> Role | None:
        """Return the role of a new connection, None if it sends no valid token in time."""
        try:
            first = await socket.receive(_HELLO_TIMEOUT)
            hello = page_messages.decode(first.data) if first.type == WSMsgType.TEXT else None
        except (asyncio.TimeoutError, page_messages.MessageError):
            return None
        return self._tokens.role(hello.token) if isinstance(hello, page_messages.Hello) else None

    async def _converse(self, socket: web.WebSocketResponse, role: Role, address: str) -> None:
        self._page_count += 1
        name = f"page {self._page_count}"
        page = Page(name, role, socket, address, lambda message: self._receive(page, message), self._request_key)
        self._pages[name] = page
        page.send(msgspec.json.encode(_welcome(name, role)).decode())
        self._emit(name, Arrived(role))
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT:
                    break
                try:
                    await self._handle(page, page_messages.decode(message.data))
                except page_messages.MessageError:
                    await page.close(WSCloseCode.POLICY_VIOLATION, "invalid message")
                    break
        finally:
            del self._pages[name]
            self._emit(name, Left())
            await page.close(WSCloseCode.OK, "")

    async def _handle(self, page: Page, message: page_messages.Message) -> None:
        """Handle a message of the WebSocket."""
        if isinstance(message, page_messages.Offer):
            mimes = ["video/VP8"] if self._options.encoder == "vp8" else ["video/H264", "video/VP8"]
            mime = await page.answer(message.sdp, mimes)
            if mime:
                self._begin(mime)
        elif isinstance(message, page_messages.Fallback):
            await page.fall_back(message.lost)
            self._begin(JPEG)
        elif isinstance(message, page_messages.KeyFrame):
            self._request_key(page.stream)
        elif isinstance(message, page_messages.Seen):
            page.acknowledge(message.n)
        else:
            self._receive(page, message)

    def _receive(self, page: Page, message: page_messages.Message) -> None:
        """Pass a message on to the drive, if the page's role permits it."""
        if page.role is Role.DRIVE or isinstance(message, page_messages.Measured):
            self._emit(page.name, message)

    # Images

    def _begin(self, mime: str) -> None:
        """Start encoding images as ``mime`` if necessary, from a key frame on."""
        if mime not in self._streams:
            options = self._options
            hardware = options.encoder == "auto"
            encoder = JpegEncoder() if mime == JPEG else VideoEncoder(mime, options.bitrate, hardware)
            stream = EncodingThread(encoder, lambda encoded: self._soon(self._show_encoded, mime, encoded))
            self._streams[mime] = stream
            stream.start()
        self._request_key(mime)
        self._wake()

    def _request_key(self, mime: str) -> None:
        if mime in self._streams:
            self._streams[mime].request_key()

    def _show_encoded(self, mime: str, encoded: Encoded) -> None:
        for page in self._pages.values():
            if page.stream == mime:
                page.show(encoded)


def _welcome(name: str, role: Role) -> dict[str, Any]:
    rows = [(title, [row for row in group if row[1] not in _NOT_IN_BROWSER]) for title, group in HELP[:-1]]
    rows.append(("Page", [*(row for row in HELP[-1][1] if row[1] not in _NOT_IN_BROWSER), _SCREENSHOT]))
    return {"t": "welcome", "page": name, "role": role.value, "keys": KEYS, "help": rows}


def _files() -> dict[str, tuple[str, bytes]]:
    """Return content type and bytes of the page's files by name."""
    files = resources.files("neuralsim.serve").joinpath("web").iterdir()
    return {
        each.name: (_TYPES[suffix], each.read_bytes())
        for each in files
        if (suffix := f".{each.name.rpartition('.')[2]}") in _TYPES
    }


def _tls(options: ServeOptions) -> ssl.SSLContext | None:
    if options.cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(options.cert, options.key)
    return context
