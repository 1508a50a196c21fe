"""``NeuralSim/Drive-v0``: a car in a town, seen as the simulator's tags, as a neural network's picture, or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
from gymnasium import spaces

from bridge.carla_client.routing.autopilot import Autopilot
from bridge.messages import Frame
from neuralsim.base.shared_options import DEFAULT_MODEL
from neuralsim.gym.reward import Reward, RewardWeights
from neuralsim.gym.route import Route
from neuralsim.gym.simulators import EmbeddedTown, ScenarioTown, Simulator
from neuralsim.renderer.remap import NOTHING
from neuralsim.renderer.views import tag_picture
from neuralsim.session import lamp_drawing
from neuralsim.session.child_options import PAINTING, follows_picture
from neuralsim.session.painting_loop import apply_style
from neuralsim.session.renderer_loading import make_renderer
from scenarios import library

Observation = Literal["tags", "picture", "both"]

TAG_SIZE, PICTURE_SIZE = (128, 64), (256, 128)  # px, unless a size is given
OFF_ROUTE = 6.0  # m beside the route that end an episode
TARGET = 20.0  # m ahead on the route: where the state's target point is
_ARRIVED = 3.0  # m before the end of the route
_FASTEST = 60.0  # m/s, bound of the state
_CRUISE = 8.0  # m/s, of the expert
_WHEELBASE = 1.2  # of the vehicle's half length
_LOCK = float(np.radians(38.0))  # the front wheels' greatest angle


@dataclass
class _Episode:
    """What lasts from one ``reset`` to the next."""

    route: Route
    reward: Reward
    expert: Autopilot
    begun: float  # s, simulated
    ends: float  # s after that


class DriveEnv(gymnasium.Env[Any, np.ndarray]):
    """Drive a route through a town, in lock-step and as fast as the machine can.

    An action is f32 (3,): steer -1 (left) .. 1, throttle and brake 0 .. 1, held for one tick. An observation is what
    ``observation`` says: tags u8 (H, W, 1), CARLA's tags 0 .. 28; picture u8 (H, W, 3), RGB; with "both", or with
    ``state``, a dict of "tags", "picture" and "state", f32 (4,): speed (m/s), steering, and the route's point 20 m
    ahead (m forward, m to the right). The reward is that of ``RewardWeights``. An episode terminates with a collision,
    6 m beside the route, or at the route's end, and is truncated after ``duration`` seconds. ``info`` has ``terms``
    (of the reward), ``progress`` (share of the route), ``metres``, ``offset`` (m to the right of the route),
    ``speed``, ``collisions``, ``time`` (s) and ``arrived``.

    ``reset(options={"scenario": NAME_OR_FILE})`` plays a scenario whose ego is driven: its town, traffic, weather,
    camera pose and seed are the file's; None: the free drive again.

    Equal arguments, seeds and actions give equal observations, byte for byte.

    Args:
        observation: "tags", "picture" or "both".
        size: (width, height), px; default 128x64 for tags, 256x128 with a picture.
        state: Also observe speed, steering and the way ahead.
        town: Name of a town, or an OpenDRIVE file.
        town_seed: Of its scenery.
        vehicles: How many others drive.
        walkers: How many walk.
        weather: A preset of CARLA's; None: the town's own.
        fps: Ticks, which are steps, per simulated second, 1 .. 120.
        route_length: Metres of an episode's route, at least 20.
        duration: Seconds, simulated, after which an episode is truncated; a scenario's own where that is shorter.
        scenario: What episodes play unless ``reset`` says otherwise.
        reward: The weights.
        model: That paints, by name or folder.
        runtime: It runs on.
        style: It paints in; None: by the weather.
        guide: What it paints after, as ``neuralsim drive --guide``: "picture", "surface" (faster) or "exemplars".
        threads: CPU threads it paints with; None: all. With one environment per process: 1.
        render_mode: "rgb_array", "human" (a window; pygame) or None.

    Raises ``ValueError`` for arguments out of range, ``ModelError`` and ``RuntimeUnavailable`` from the painter.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 30}  # noqa: RUF012 - as its base

    def __init__(
        self,
        observation: Observation = "tags",
        size: tuple[int, int] | None = None,
        state: bool = False,
        town: str = "oldtown",
        town_seed: int = 0,
        vehicles: int = 20,
        walkers: int = 12,
        weather: str | None = None,
        fps: float = 30.0,
        route_length: float = 300.0,
        duration: float = 60.0,
        scenario: str | None = None,
        reward: RewardWeights | None = None,
        model: str = DEFAULT_MODEL,
        runtime: str = "auto",
        style: str | None = None,
        guide: str = "picture",
        threads: int | None = None,
        render_mode: Literal["rgb_array", "human"] | None = None,
    ) -> None:
        if observation not in get_args(Observation):
            raise ValueError(f"observation {observation!r}: choose {', '.join(get_args(Observation))}")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode {render_mode!r}: choose {', '.join(self.metadata['render_modes'])}")
        if not 1.0 <= fps <= 120.0 or route_length < 20.0 or duration <= 0.0:
            raise ValueError("give fps from 1 to 120, a route_length of 20 m or more, and a duration above 0 s")
        self.metadata = self.metadata | {"render_fps": round(fps)}
        self.render_mode = render_mode
        self._paints = observation != "tags"
        self.size = size or (PICTURE_SIZE if self._paints else TAG_SIZE)
        self._observed = {"tags": ("tags",), "picture": ("picture",), "both": ("picture", "tags")}[observation]
        self._observed += ("state",) * state
        self._fps, self._route_length, self._duration = fps, route_length, duration
        self._scenario = scenario if scenario is None else str(library.find(scenario))
        self._weights = reward or RewardWeights()
        self._model, self._runtime, self._style, self._guide, self._threads = model, runtime, style, guide, threads
        self._rgb = self._paints and follows_picture(model, guide)
        self._free_drive = (town, town_seed, vehicles, walkers, self.size, fps, (self._rgb, self._paints), weather)
        self._simulator: Simulator | None = None
        self._episode: _Episode | None = None
        self._frame: Frame | None = None  # the newest
        self._picture = np.zeros((0, 0, 3), np.uint8)  # painted of it
        self._painter: Any = None
        self._window: Any = None
        self.action_space = spaces.Box(_f32(-1.0, 0.0, 0.0), _f32(1.0, 1.0, 1.0))
        self.observation_space = self._space()

    def _space(self) -> spaces.Space[Any]:
        width, height = self.size
        reach = _f32(_FASTEST, 1.0, 2.0 * TARGET, 2.0 * TARGET)
        known: dict[str, spaces.Space[Any]] = {
            "tags": spaces.Box(0, 255, (height, width, 1), np.uint8),  # up to 255, as policies on pictures expect
            "picture": spaces.Box(0, 255, (height, width, 3), np.uint8),
            "state": spaces.Box(-reach, reach),
        }
        if len(self._observed) == 1:
            return known[self._observed[0]]
        return spaces.Dict({name: known[name] for name in self._observed})

    # Gymnasium's methods

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode. Raises ``ValueError`` for unknown options, and what simulators and scenarios raise."""
        super().reset(seed=seed)
        asked = dict(options or {})
        scenario = asked.pop("scenario", self._scenario)
        if asked:
            raise ValueError(f"unknown option {next(iter(asked))!r}: there is scenario")
        simulator = self._simulator = self._simulator_of(scenario)
        number = int(self.np_random.integers(1 << 31))
        frame, route = simulator.begin(number, self._route_length)
        route.update(*_place(frame)[:2])
        expert = Autopilot(simulator.map, *simulator.half, _WHEELBASE * simulator.half[0], _LOCK, number)
        expert.follow((point.way, point.x, point.y) for point in route.points)
        reward = Reward(self._weights, simulator.half[1], 1.0 / self._fps)
        reward.begin(frame.ego, route)
        ends = min(self._duration, simulator.duration if isinstance(simulator, ScenarioTown) else self._duration)
        self._episode = _Episode(route, reward, expert, frame.sim_time, ends)
        if self._painter is not None:
            self._painter.reset()
        return self._observe(frame, route), self._info(self._episode, frame, {}, False)

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One tick. Actions out of range are clipped."""
        if self._simulator is None or self._episode is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        low, high = self.action_space.low, self.action_space.high  # type: ignore[attr-defined]
        steer, throttle, brake = (float(value) for value in np.clip(np.asarray(action, np.float32), low, high))
        frame = self._simulator.step(steer, throttle, brake)
        episode, route = self._episode, self._episode.route
        route.update(*_place(frame)[:2])
        terms = episode.reward.step(frame.ego, route)
        arrived = route.metres >= route.length - _ARRIVED
        terminated = arrived or frame.ego.collisions > 0 or abs(route.offset) > OFF_ROUTE
        truncated = frame.sim_time - episode.begun >= episode.ends - 1e-6
        info = self._info(episode, frame, terms, arrived)
        return self._observe(frame, route), sum(terms.values()), terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """u8 (H, W, 3): the picture, or the tags in CARLA's colours where none is painted; None in other modes."""
        return self._shown() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """End what was started; a later ``reset`` starts it again."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None
        if self._window is not None:
            import pygame

            pygame.display.quit()
            self._window = None

    def expert(self, cruise: float = _CRUISE) -> np.ndarray:
        """The action, f32 (3,), of the project's own autopilot: along the route at ``cruise`` m/s, slower in bends,
        heeding nobody."""
        if self._episode is None or self._frame is None:
            raise gymnasium.error.ResetNeeded("call reset() before expert()")
        expert = self._episode.expert
        expert.cruise = cruise
        x, y, z = _place(self._frame)
        pose, speed = self._frame.ego.pose, self._frame.ego.speed
        yaw = float(np.arctan2(pose[1, 0], pose[0, 0]))
        pedals = expert.drive(x, y, z, yaw, speed, (), (), 1.0 / self._fps)
        return _f32(pedals.steer, pedals.throttle, pedals.brake)

    # Inside

    def _simulator_of(self, scenario: str | None) -> Simulator:
        """That of the episode before if it will do, else another one in its place."""
        file = None if scenario is None else library.find(str(scenario))
        now = self._simulator
        if now is not None and (now.file if isinstance(now, ScenarioTown) else None) == file:
            return now
        if now is not None:
            now.close()
        if file is None:
            return EmbeddedTown(*self._free_drive)
        planes = (*PAINTING, "rgb") if self._rgb else PAINTING if self._paints else ("tag",)
        return ScenarioTown(file, self.size, self._fps, planes)

    def _observe(self, frame: Frame, route: Route) -> Any:
        self._frame = frame
        seen: dict[str, np.ndarray] = {"tags": frame.planes["tag"][:, :, None]}
        if self._paints:
            seen["picture"] = self._picture = self._paint(frame)
        if self.render_mode == "human":
            self._show()
        if "state" in self._observed:
            seen["state"] = self._state(frame, route)
        if len(self._observed) == 1:
            return seen[self._observed[0]].copy()
        return {name: seen[name].copy() for name in self._observed}

    def _paint(self, frame: Frame) -> np.ndarray:
        if self._painter is None:
            self._painter = make_renderer(self._model, self._runtime, self.size, self._threads)
        apply_style(self._painter, frame, self._style, NOTHING, self._guide)
        picture = self._painter.render(frame)
        lamp_drawing.draw_of(self._painter, frame, picture)
        return picture

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
            "time": frame.sim_time - episode.begun,
            "arrived": arrived,
        }

    def _shown(self) -> np.ndarray:
        if self._frame is None:
            raise gymnasium.error.ResetNeeded("call reset() before render()")
        return self._picture.copy() if self._paints else tag_picture(self._frame.planes["tag"])

    def _show(self) -> None:
        import pygame

        if self._window is None:
            pygame.display.init()
            pygame.display.set_caption("NeuralSim/Drive-v0")
            self._window = pygame.display.set_mode(self.size)
        self._window.blit(pygame.surfarray.make_surface(self._shown().swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        pygame.display.flip()


def _f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _place(frame: Frame) -> tuple[float, float, float]:
    """Where the ego is, m."""
    x, y, z = frame.ego.pose[:3, 3].tolist()
    return x, y, z
