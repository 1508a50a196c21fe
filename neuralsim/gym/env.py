"""``NeuralSim/Drive-v0``: a car in a town, observed as the simulator's tags, as the network's image, or both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
from gymnasium import spaces

from bridge.carla_client.routing.autopilot import Autopilot
from bridge.carla_client.vehicle_geometry import WHEELBASE_SHARE, VehicleGeometry
from bridge.messages import Frame
from neuralsim.base.shared_options import DEFAULT_MODEL
from neuralsim.gym.reward import Reward, RewardWeights
from neuralsim.gym.route import Route
from neuralsim.gym.simulators import EmbeddedTown, ScenarioTown, Simulator
from neuralsim.renderer.remap import NO_REMAP
from neuralsim.renderer.rig import render_views
from neuralsim.renderer.views import tag_image
from neuralsim.session.child_options import RENDER_PLANES, follows_simulator_image
from neuralsim.session.render_loop import apply_style
from neuralsim.session.renderer_loading import make_renderer
from scenarios import library
from scenarios.engine.rigs import read_rig
from scenarios.language.schema import ExtraCameraSpec

Observation = Literal["tags", "picture", "both"]

TAG_SIZE = 128, 64  # px, unless a size is given
PICTURE_SIZE = 256, 128  # px, the same
OFF_ROUTE = 6.0  # m from the route at which an episode ends
TARGET = 20.0  # m ahead on the route to the state's target point
_ARRIVED = 3.0  # m from the end of the route at which it is reached
_MAX_SPEED = 60.0  # m/s, bound of the state
_CRUISE = 8.0  # m/s, of the expert
_STEERING_LOCK = float(np.radians(38.0))  # largest angle of the front wheels


@dataclass(frozen=True)
class DriveSettings:
    """The arguments of :class:`DriveEnv`, except ``render_mode``.

    Args:
        observation: "tags", "picture" or "both".
        size: (width, height), px; by default 128x64 for tags, 256x128 with a picture.
        rig: Path of a rig file (``docs/guide/recordings.md``), whose ``cameras`` are observed as well.
        state: Also observe speed, steering and the way ahead.
        town: Name of a town, or an OpenDRIVE file.
        town_seed: Seed of its scenery.
        vehicles: Number of other vehicles.
        walkers: Number of pedestrians.
        weather: One of CARLA's presets; None: the town's own.
        fps: Ticks, which are steps, per simulated second, 1 .. 120.
        route_length: Length of an episode's route, m, at least 20.
        duration: Simulated seconds after which an episode is truncated; a scenario's own where that is shorter.
        scenario: Scenario of all episodes unless ``reset`` is given another.
        reward: Weights of the reward's terms.
        model: Name or folder of the model to render with.
        runtime: Runtime of the model.
        style: Style to render in; None: by the weather.
        guide: What the model follows, as ``neuralsim drive --guide``: "picture", "surface" (faster) or "exemplars".
        threads: CPU threads to render with; None: all. With one environment per process: 1.

    Raises:
        ValueError: For values out of range.
    """

    observation: Observation = "tags"
    size: tuple[int, int] | None = None
    rig: str | None = None
    state: bool = False
    town: str = "oldtown"
    town_seed: int = 0
    vehicles: int = 20
    walkers: int = 12
    weather: str | None = None
    fps: float = 30.0
    route_length: float = 300.0
    duration: float = 60.0
    scenario: str | None = None
    reward: RewardWeights | None = None
    model: str = DEFAULT_MODEL
    runtime: str = "auto"
    style: str | None = None
    guide: str = "picture"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.observation not in get_args(Observation):
            raise ValueError(f"observation {self.observation!r}: choose {', '.join(get_args(Observation))}")
        if not 1.0 <= self.fps <= 120.0 or self.route_length < 20.0 or self.duration <= 0.0:
            raise ValueError("give fps from 1 to 120, a route_length of 20 m or more, and a duration above 0 s")

    @property
    def has_image(self) -> bool:
        """Whether the network's image is observed."""
        return self.observation != "tags"

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the observations, px."""
        return self.size or (PICTURE_SIZE if self.has_image else TAG_SIZE)

    @property
    def needs_simulator_image(self) -> bool:
        """Whether the network follows the simulator image."""
        return self.has_image and follows_simulator_image(self.model, self.guide)

    @property
    def images(self) -> tuple[str, ...]:
        """What is observed of each camera."""
        return {"tags": ("tags",), "picture": ("picture",), "both": ("picture", "tags")}[self.observation]

    @property
    def rig_file(self) -> Path | None:
        """Path of the rig file."""
        return None if self.rig is None else Path(self.rig)

    def rig_cameras(self) -> list[ExtraCameraSpec]:
        """Return the further cameras. Raises ``ScenarioError`` for mistakes in the rig's file."""
        return [] if self.rig_file is None else read_rig(self.rig_file).cameras


@dataclass
class _Episode:
    """The state of one episode."""

    route: Route
    reward: Reward
    expert: Autopilot
    begin: float  # s, simulated
    duration: float  # s


class DriveEnv(gymnasium.Env[Any, np.ndarray]):
    """Drive a route through a town, in lockstep and as fast as the machine can.

    **Action space**: ``Box``, f32 (3,): steer -1 (left) .. 1, throttle 0 .. 1, brake 0 .. 1, held for one tick of
    ``1 / fps`` s.

    **Observation space**: with ``observation="tags"``, ``Box`` u8 (H, W, 1), CARLA's tags 0 .. 28; with "picture",
    ``Box`` u8 (H, W, 3), RGB as rendered by the network; with "both" or with ``state=True``, a ``Dict`` of "tags",
    "picture" and "state". With a ``rig``, it is a ``Dict`` too, where "tags_NAME" and "picture_NAME" are those of the
    camera NAME. "state" is ``Box`` f32 (4,): speed (m/s), steering, and the route's point 20 m ahead (m
    forward, m to the right).

    **Reward**: float, the sum of the terms of :class:`RewardWeights`: progress along the route less collisions, lane
    departure and jerk.

    **Episode end**: an episode terminates with a collision, 6 m off the route, or at the route's end. It is
    truncated after ``duration`` seconds.

    **Info**: "terms" (dict of float, the reward's), "progress" (share of the route), "metres" (along the route),
    "offset" (m to the right of the route), "speed" (m/s), "collisions" (int), "time" (s since the episode began),
    "arrived" (bool).

    **Reset options**: ``reset(options={"scenario": NAME_OR_FILE})`` plays a scenario whose ego is driven: its town,
    traffic, weather, camera pose and seed are the file's. None returns to the free drive.

    **Determinism**: equal arguments, seeds and actions give equal observations, byte for byte.

    Args:
        render_mode: "rgb_array", "human" (a window; pygame) or None.
        **settings: The fields of :class:`DriveSettings`.

    Raises ``ValueError`` for arguments out of range, ``ModelError`` and ``RuntimeUnavailable`` from the renderer.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 30}  # noqa: RUF012 - as its base

    def __init__(self, render_mode: Literal["rgb_array", "human"] | None = None, **settings: Any) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode {render_mode!r}: choose {', '.join(self.metadata['render_modes'])}")
        self.settings = DriveSettings(**settings)
        self.metadata = self.metadata | {"render_fps": round(self.settings.fps)}
        self.render_mode = render_mode
        self.size = self.settings.image_size
        self._cameras = self.settings.rig_cameras()
        self._scenario = None if self.settings.scenario is None else str(library.find(self.settings.scenario))
        self._simulator: Simulator | None = None
        self._episode: _Episode | None = None
        self._frame: Frame | None = None  # the latest
        self._image = np.zeros((0, 0, 3), np.uint8)  # rendered from it
        self._renderers: list[Any] = []  # of the camera and the rig's further ones
        self._window: Any = None
        self.action_space = spaces.Box(_f32(-1.0, 0.0, 0.0), _f32(1.0, 1.0, 1.0))
        self.observation_space = self._space()

    def _space(self) -> spaces.Space[Any]:
        channels = {"tags": 1, "picture": 3}
        parts: dict[str, spaces.Space[Any]] = {}
        for ending, (width, height) in (("", self.size), *((f"_{each.name}", each.size) for each in self._cameras)):
            for name in self.settings.images:  # up to 255, as policies on images expect
                parts[name + ending] = spaces.Box(0, 255, (height, width, channels[name]), np.uint8)
        if self.settings.state:
            bound = _f32(_MAX_SPEED, 1.0, 2.0 * TARGET, 2.0 * TARGET)
            parts["state"] = spaces.Box(-bound, bound)
        return next(iter(parts.values())) if len(parts) == 1 else spaces.Dict(parts)

    # Gymnasium's methods

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode. Raises ``ValueError`` for unknown options, and the errors of simulators and scenarios."""
        super().reset(seed=seed)
        unknown = dict(options or {})
        scenario = unknown.pop("scenario", self._scenario)
        if unknown:
            raise ValueError(f"unknown option {next(iter(unknown))!r}: the only option is 'scenario'")
        simulator = self._simulator = self._simulator_of(scenario)
        number = int(self.np_random.integers(1 << 31))
        frame, route = simulator.begin(number, self.settings.route_length)
        route.update(*_position(frame)[:2])
        geometry = VehicleGeometry(*simulator.half, WHEELBASE_SHARE * simulator.half[0], _STEERING_LOCK)
        expert = Autopilot(simulator.map, geometry, number)
        expert.follow((point.way, point.x, point.y) for point in route.points)
        reward = Reward(self.settings.reward or RewardWeights(), simulator.half[1], 1.0 / self.settings.fps)
        reward.begin(frame.ego, route)
        duration = self.settings.duration
        if isinstance(simulator, ScenarioTown):
            duration = min(duration, simulator.duration)
        self._episode = _Episode(route, reward, expert, frame.sim_time, duration)
        for renderer in self._renderers:
            renderer.reset()
        return self._observe(frame, route), self._info(self._episode, frame, {}, False)

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advance by one tick. Actions out of range are clipped."""
        if self._simulator is None or self._episode is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        low, high = self.action_space.low, self.action_space.high  # type: ignore[attr-defined]
        steer, throttle, brake = (float(value) for value in np.clip(np.asarray(action, np.float32), low, high))
        frame = self._simulator.step(steer, throttle, brake)
        episode, route = self._episode, self._episode.route
        route.update(*_position(frame)[:2])
        terms = episode.reward.step(frame.ego, route)
        arrived = route.metres >= route.length - _ARRIVED
        terminated = arrived or frame.ego.collisions > 0 or abs(route.offset) > OFF_ROUTE
        truncated = frame.sim_time - episode.begin >= episode.duration - 1e-6
        info = self._info(episode, frame, terms, arrived)
        return self._observe(frame, route), sum(terms.values()), terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """Return the image u8 (H, W, 3), or without one the tags in CARLA's colours; None unless "rgb_array"."""
        return self._displayed_image() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Stop the simulator and close the window; a later ``reset`` starts them again."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None
        if self._window is not None:
            import pygame

            pygame.display.quit()
            self._window = None

    def expert(self, cruise: float = _CRUISE) -> np.ndarray:
        """Return the action, f32 (3,), of the project's own autopilot.

        It follows the route at ``cruise`` m/s, slower in bends, and ignores other traffic.
        """
        if self._episode is None or self._frame is None:
            raise gymnasium.error.ResetNeeded("call reset() before expert()")
        expert = self._episode.expert
        expert.cruise = cruise
        x, y, z = _position(self._frame)
        pose, speed = self._frame.ego.pose, self._frame.ego.speed
        yaw = float(np.arctan2(pose[1, 0], pose[0, 0]))
        pedals = expert.drive(x, y, z, yaw, speed, (), (), 1.0 / self.settings.fps)
        return _f32(pedals.steer, pedals.throttle, pedals.brake)

    # Internals

    def _simulator_of(self, scenario: str | None) -> Simulator:
        """Return the previous episode's simulator if it fits, else close it and return another."""
        file = None if scenario is None else library.find(str(scenario))
        previous = self._simulator
        if previous is not None:
            if (previous.file if isinstance(previous, ScenarioTown) else None) == file:
                return previous
            previous.close()
        settings = self.settings
        if file is None:
            town = settings.town, settings.town_seed, settings.vehicles, settings.walkers
            simulator_image = settings.needs_simulator_image
            return EmbeddedTown(*town, self.size, settings.fps, simulator_image, settings.weather, self._cameras)
        planes = (
            (*RENDER_PLANES, *(("rgb",) if settings.needs_simulator_image else ())) if settings.has_image else ("tag",)
        )
        return ScenarioTown(file, self.size, settings.fps, planes, settings.rig_file)

    def _observe(self, frame: Frame, route: Route) -> Any:
        assert self._simulator is not None
        self._frame = frame
        views = [frame, *self._simulator.others]
        images = self._render(views) if self.settings.has_image else []
        parts: dict[str, np.ndarray] = {}
        for number, ending in enumerate(("", *(f"_{each.name}" for each in self._cameras))):
            for name in self.settings.images:
                image = images[number] if name == "picture" else views[number].planes["tag"][:, :, None]
                parts[name + ending] = image.copy()
        if images:
            self._image = images[0]
        if self.render_mode == "human":
            self._show()
        if self.settings.state:
            parts["state"] = self._state(frame, route)
        return next(iter(parts.values())) if len(parts) == 1 else parts

    def _render(self, frames: list[Frame]) -> list[np.ndarray]:
        settings = self.settings
        if not self._renderers:
            first: Any = make_renderer(settings.model, settings.runtime, self.size, settings.threads)
            self._renderers = [first, *(first.fork(tuple(each.size)) for each in self._cameras)]
        for renderer, frame in zip(self._renderers, frames, strict=True):
            apply_style(renderer, frame, settings.style, NO_REMAP, settings.guide)
        if not self._cameras:
            return [self._renderers[0].render(frames[0])]
        return render_views(self._renderers, frames, settings.threads)

    def _state(self, frame: Frame, route: Route) -> np.ndarray:
        space = self.observation_space["state"]  # type: ignore[index]
        ahead = np.array([*route.ahead(TARGET), frame.ego.pose[2, 3], 1.0])
        forward, right = (np.linalg.inv(frame.ego.pose) @ ahead)[:2]
        return np.clip(_f32(frame.ego.speed, frame.ego.steer, forward, right), space.low, space.high)

    @staticmethod
    def _info(episode: _Episode, frame: Frame, terms: dict[str, float], arrived: bool) -> dict[str, Any]:
        route, ego = episode.route, frame.ego
        return {
            "terms": terms,
            "progress": route.metres / route.length,
            "metres": route.metres,
            "offset": route.offset,
            "speed": ego.speed,
            "collisions": ego.collisions,
            "time": frame.sim_time - episode.begin,
            "arrived": arrived,
        }

    def _displayed_image(self) -> np.ndarray:
        if self._frame is None:
            raise gymnasium.error.ResetNeeded("call reset() before render()")
        return self._image.copy() if self.settings.has_image else tag_image(self._frame.planes["tag"])

    def _show(self) -> None:
        import pygame

        if self._window is None:
            pygame.display.init()
            pygame.display.set_caption("NeuralSim/Drive-v0")
            self._window = pygame.display.set_mode(self.size)
        self._window.blit(pygame.surfarray.make_surface(self._displayed_image().swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        pygame.display.flip()


def _f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _position(frame: Frame) -> tuple[float, float, float]:
    """Return the ego's position, m."""
    x, y, z = frame.ego.pose[:3, 3].tolist()
    return x, y, z
