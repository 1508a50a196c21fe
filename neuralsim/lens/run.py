"""``neuralsim lens``: CARLA's wire on both sides, with generated images in between."""

import signal
import threading

from bridge.carla_wire import Address, RpcError, close
from bridge.process.lifetime import Lifetime
from neuralsim.base.failure import describe, fail, log_line
from neuralsim.lens import leftovers, relay_kernels
from neuralsim.lens.client_relay import ClientRelay
from neuralsim.lens.lens import Lens
from neuralsim.lens.options import LensOptions
from neuralsim.lens.rig_renderer import RigRenderer
from neuralsim.runtimes import RuntimeUnavailable
from neuralsim.town.carla_server.generated_cameras import ImageGenerator
from neuralsim.town.carla_server.rpc import listen
from neuralsim.zoo import ModelError

_LOOK = 1.0  # s, from one look at whether the server is still there to the next


class LensServer:
    """A lens in front of ``server`` that listens on ``host:port`` (0: any free port).

    Raises OSError if the server is not there or the port is taken, RpcError if it is none of CARLA's.
    """

    def __init__(
        self,
        server: Address,
        generator: ImageGenerator,
        host: str = "127.0.0.1",
        port: int = 0,
        streaming_port: int = 0,
    ) -> None:
        relay_kernels.compile_kernels()
        try:
            leftovers.remove(server)
        except TimeoutError:
            leftovers.remove_once_it_ticks(server)
        self.lens = Lens(server, generator, host, streaming_port)
        try:
            try:
                self._listener = listen(host, port)
            except OSError as error:
                raise OSError(f"cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}") from None
        except BaseException:
            self.lens.close()
            raise
        self.port: int = self._listener.getsockname()[1]
        self.lens.watchdog = leftovers.Watchdog(server, self.lens.role)

    def start(self) -> None:
        """Accept clients."""
        self.lens.start()
        threading.Thread(target=self._accept, name="lens-clients", daemon=True).start()

    def close(self) -> None:
        """Take everything away from the server."""
        close(self._listener)
        self.lens.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            relay = ClientRelay(self.lens, sock)
            threading.Thread(target=relay.serve, name="lens-client", daemon=True).start()


def run(options: LensOptions) -> int:
    """Serve until asked to stop; return the exit code."""
    lifetime = Lifetime(options.with_parent, grace=5.0)
    host, _, port = options.carla.rpartition(":")
    server = Address(host, int(port))
    try:
        generator = RigRenderer(options.model, options.runtime, options.style)
        lens = LensServer(server, generator, options.host, options.port, options.streaming_port)
    except (OSError, RpcError, ValueError, ModelError, RuntimeUnavailable) as error:
        return fail(error)
    lens.start()
    address = f"{options.host}:{lens.port}"
    options.announce("ready", {"server": address}, f"lens: {address} shows {server} in generated images")
    _follow(lens.lens, lifetime)
    lens.close()
    signal.set_wakeup_fd(-1)
    return 0


def _follow(lens: Lens, lifetime: Lifetime) -> None:
    """Connect again to a server that has gone and is back, until ``lifetime`` is over."""
    told = ""
    while not lifetime.wait(_LOOK):
        if lens.rpc.is_open:
            continue
        try:
            lens.reconnect()
        except (OSError, RpcError, ValueError) as error:
            text = f"lens: {describe(error)}; waiting for it"
            if text != told:
                log_line(text)
            told = text
        else:
            if told:
                log_line(f"lens: the CARLA server at {lens.server} is back")
            told = ""
