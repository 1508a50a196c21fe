"""All sensors of the ego that produce images: the cameras a driver chooses from, the further ones, the mirrors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bridge.carla_client.camera_rig import CameraRig, RigSpec, flow_is_exact
from bridge.carla_client.connection import CALL_TIMEOUT
from bridge.carla_client.ego_cameras import EgoCameras
from bridge.carla_client.mirror_cameras import Mirrors
from bridge.carla_client.world_clock import STARTUP_TIMEOUT, WorldClock
from bridge.carla_library import carla
from bridge.link.motion import Movers
from bridge.messages import Camera, Control
from bridge.process.lifetime import BridgeError

MAX_WARM_UP_TICKS = 60  # within which all cameras must deliver
WARM_UP_TICKS = 12  # ticks before a drive's first frame
FIRST_IMAGE_TIMEOUT = 0.5  # s to wait for the first image of a camera, which may arrive with a later tick

Images = dict[str, dict[str, Any]]  # by view, then by sensor; the view "" is the driver's


class SensorRigs:
    """The camera rigs of ``vehicle``: one that the driver chooses, and a further one per name in ``extra_cameras``.

    No sensor is spawned before :meth:`warm_up`. ``planes``: those always published; ``motion``: where motion comes from
    (``BridgeOptions.motion``).
    """

    def __init__(
        self,
        world: carla.World,
        vehicle: carla.Vehicle,
        camera: RigSpec,
        extra_cameras: Mapping[str, RigSpec],
        planes: Sequence[str],
        jitter: bool,
        motion: str,
    ) -> None:
        self.planes = tuple(planes)
        flow = "motion" in self.planes and (motion == "flow" or (motion == "auto" and flow_is_exact(world)))
        self._cameras = EgoCameras(world, vehicle, camera, jitter, flow)
        self._extra_rigs = {
            name: CameraRig(world, vehicle, spec, jitter, uses_flow=flow) for name, spec in extra_cameras.items()
        }
        self.mirrors = Mirrors(world, vehicle, jitter)
        self._unknown = set[int]()

    @property
    def actors(self) -> list[Any]:
        """All sensor actors, to be destroyed with the vehicle."""
        extra = (actor for rig in self._extra_rigs.values() for actor in rig.actors)
        return [*self.mirrors.actors, *self._cameras.actors, *extra]

    @property
    def mount(self) -> str:
        """Name of the camera that the driver looks through, "" for the configured one."""
        return self._cameras.name

    def stop(self) -> None:
        """Stop listening."""
        self._cameras.stop()
        self.mirrors.stop()
        for rig in self._extra_rigs.values():
            rig.stop()

    def warm_up(self, clock: WorldClock) -> Any:
        """Tick ``WARM_UP_TICKS`` times, and further until every camera delivers; return the last tick's snapshot.

        The number of ticks is fixed where possible: the arrival of the first image depends on the machine's load, but
        the town must be in the same state at every drive's first frame.
        """
        rigs = (self._cameras.rig, *self._extra_rigs.values())
        for rig in rigs:
            rig.select_planes(self.planes)
        for tick in range(1, MAX_WARM_UP_TICKS + 1):
            frame = clock.tick(STARTUP_TIMEOUT)
            images = [rig.gather(frame, STARTUP_TIMEOUT, FIRST_IMAGE_TIMEOUT) for rig in rigs]
            if all(rig.is_delivering() for rig in rigs) and tick >= WARM_UP_TICKS:
                for rig, images_of_rig in zip(rigs, images, strict=True):
                    rig.decode(images_of_rig)
                return clock.snapshot()
        raise BridgeError("the server's cameras send nothing: is the port after its RPC port (2001) closed?")

    def gather(self, frame: int, is_hopeless: Callable[[], bool]) -> Images:
        """Return the images of tick ``frame``. Raises ``SensorTimeout``, early if ``is_hopeless`` or one is gone."""

        def of(rig: CameraRig) -> dict[str, Any]:
            return rig.gather(frame, CALL_TIMEOUT, is_hopeless=lambda: is_hopeless() or not rig.is_complete())

        return {view: of(rig) for view, rig in self._rigs().items()}

    def restore(self, clock: WorldClock) -> bool:
        """Spawn what another client has destroyed again, ticking until it delivers; return whether anything was."""
        incomplete = [rig for rig in self._rigs().values() if not rig.is_complete()]
        for rig in incomplete:
            rig.restore()
        for _ in range(MAX_WARM_UP_TICKS):
            if all(rig.is_delivering() for rig in incomplete):
                break
            frame = clock.tick(CALL_TIMEOUT)
            for rig in incomplete:
                rig.gather(frame, CALL_TIMEOUT, FIRST_IMAGE_TIMEOUT)
        return bool(incomplete)

    def decode(self, view: str, images: Images) -> tuple[Camera, dict[str, np.ndarray]]:
        """Return camera and planes of a view, which are valid until the next call and lack ``add_motion``."""
        return self._rigs()[view].decode(images[view])

    def add_motion(
        self, view: str, camera: Camera, planes: dict[str, np.ndarray], movers: Callable[[], Movers]
    ) -> None:
        """Compute the motion of a view's decoded planes, where no flow camera did; ``movers`` is called then."""
        self._rigs()[view].add_motion(camera, planes, movers)

    def unknown_tags(self) -> str:
        """Return one line for a semantic tag of the server that is unknown here, once for each; else ""."""
        new = {rig.unknown_tag for rig in self._rigs().values() if rig.unknown_tag} - self._unknown
        self._unknown |= new
        return f"The server's tag {max(new)} is unknown here: rendered as OTHER" if new else ""

    def select_planes(self, control: Control) -> None:
        """Select the planes of the driver's camera that ``control`` requests."""
        self._cameras.rig.select_planes(self._requested(control))

    def look_through(self, control: Control, clock: WorldClock) -> None:
        """Change the driver's camera, or its size, ticking until it delivers."""
        if not self._cameras.choose(control.camera, control.size, self._requested(control)):
            return
        rig = self._cameras.rig
        for _ in range(MAX_WARM_UP_TICKS):
            frame = clock.tick(CALL_TIMEOUT)
            images = rig.gather(frame, CALL_TIMEOUT, FIRST_IMAGE_TIMEOUT)
            for extra in self._extra_rigs.values():
                extra.gather(frame, CALL_TIMEOUT)
            if rig.is_delivering():
                rig.decode(images)
                return

    def _rigs(self) -> dict[str, CameraRig]:
        return {"": self._cameras.rig, **self._extra_rigs}

    def _requested(self, control: Control) -> tuple[str, ...]:
        optional = {"rgb": control.rgb, "rgb_half": control.rgb_half}
        more = (name for name, is_requested in optional.items() if is_requested and name not in self.planes)
        return (*self.planes, *more)
