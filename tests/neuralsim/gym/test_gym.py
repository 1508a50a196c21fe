"""``NeuralSim/Drive-v0``: Gymnasium's own checker, determinism, the reward's terms, processes, scenarios."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import neuralsim.gym
from bridge.messages import Ego
from neuralsim.gym.reward import Reward, RewardWeights
from neuralsim.gym.route import Route

SMALL: dict[str, Any] = {"town": "hamlet", "vehicles": 2, "walkers": 1, "size": (64, 32), "route_length": 30.0}
RENDERED: dict[str, Any] = {"observation": "both", "state": True, "runtime": "onnxruntime", "threads": 1}
AHEAD = np.float32([0.0, 0.6, 0.0])


@pytest.fixture
def env(request: pytest.FixtureRequest) -> Iterator[gymnasium.Env]:
    env = gymnasium.make(neuralsim.gym.DRIVE, **SMALL, **getattr(request, "param", {}))
    yield env
    env.close()


def points(*places: tuple[float, float]) -> Any:
    return [SimpleNamespace(x=x, y=y, way=SimpleNamespace(lane_width=3.0)) for x, y in places]


def drive(env: gymnasium.Env, seed: int, steps: int = 5) -> list[bytes]:
    """Return the bytes of the observations of a reset and ``steps`` steps with changing actions."""
    observations = [env.reset(seed=seed)[0]]
    observations += [env.step(np.float32([0.1 * k, 0.5, 0.0]))[0] for k in range(steps)]
    return [b"".join(part.tobytes() for part in each.values()) for each in observations]


def test_gymnasiums_checker_accepts_it(env: gymnasium.Env, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # it opens the window of "human"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    # gymnasium's own; unclosed resources of other tests may be collected just now
    messages = [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
    # the pedals' range is not symmetric; nothing else is remarked
    assert all("symmetric" in text for text in messages), messages


@pytest.mark.parametrize("env", [RENDERED], indirect=True)
def test_equal_seeds_give_equal_observations_byte_for_byte(env: gymnasium.Env) -> None:
    first = drive(env, 7)
    assert drive(env, 7) == first
    again = gymnasium.make(neuralsim.gym.DRIVE, **SMALL, **RENDERED)
    assert drive(again, 7) == first
    again.close()
    assert drive(env, 8) != first
    observation, _ = env.reset(seed=7)
    assert {name: part.shape for name, part in observation.items()} == {
        "picture": (32, 64, 3), "tags": (32, 64, 1), "state": (4,),
    }  # fmt: skip
    assert observation["picture"].std() > 5.0
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize("env", [{"duration": 1.0, "render_mode": "rgb_array"}], indirect=True)
def test_episode_progresses_and_is_truncated_in_time(env: gymnasium.Env) -> None:
    _, first = env.reset(seed=1)
    total, steps, over = 0.0, 0, False
    while not over:
        _, reward, terminated, over, info = env.step(AHEAD)
        assert reward == pytest.approx(sum(info["terms"].values()))
        assert not terminated
        total, steps = total + info["terms"]["progress"], steps + 1
    assert steps == 30
    assert total == pytest.approx(info["metres"] - first["metres"])
    assert info["metres"] > 0.5
    assert env.render().shape == (32, 64, 3)


def test_leaving_the_road_is_penalised_and_ends_the_episode(env: gymnasium.Env) -> None:
    env.reset(seed=2)
    terms: list[dict[str, float]] = []
    terminated = False
    while not terminated and len(terms) < 400:
        _, _, terminated, _, info = env.step(np.float32([-0.7, 0.6, 0.0]))
        terms.append(info["terms"])
    assert terminated
    assert not info["arrived"]
    assert sum(each["departure"] for each in terms) < 0.0
    assert sum(each["jerk"] for each in terms) < 0.0
    assert info["collisions"] or abs(info["offset"]) > 6.0


def test_expert_arrives(env: gymnasium.Env) -> None:
    env.reset(seed=3)
    over = False
    while not over:
        _, _, terminated, truncated, info = env.step(env.unwrapped.expert())
        over = terminated or truncated
    assert info["arrived"], info
    assert info["progress"] > 0.9


def test_vectorised_environments_match_a_single_one(env: gymnasium.Env) -> None:
    alone = [env.reset(seed=seed)[0] for seed in (5, 6)]
    several = gymnasium.make_vec(neuralsim.gym.DRIVE, num_envs=2, vectorization_mode="async", **SMALL)
    try:
        observation, _ = several.reset(seed=5)
        assert np.array_equal(observation, np.stack(alone))
        observation, rewards, *_ = several.step(np.stack([AHEAD, AHEAD]))
        assert observation.shape == (2, 32, 64, 1)
        assert rewards.shape == (2,)
    finally:
        several.close()


def test_wrong_arguments_are_rejected_in_one_line(env: gymnasium.Env) -> None:
    for wrong in ({"observation": "smell"}, {"fps": 0.0}, {"route_length": 1.0}, {"render_mode": "ansi"}):
        with pytest.raises(ValueError, match=r"choose|give"):
            neuralsim.gym.DriveEnv(**wrong)
    with pytest.raises(ValueError, match="unknown option 'scenery'"):
        env.reset(options={"scenery": "x"})
    with pytest.raises(ValueError, match="did you mean cut_in"):
        env.reset(options={"scenario": "cut_inn"})


@pytest.mark.slow
def test_scenario_is_played_as_an_episode() -> None:
    env = gymnasium.make(neuralsim.gym.DRIVE, **SMALL, state=True)
    try:
        first = drive(env, 1)
        env.reset(seed=1, options={"scenario": "cut_in"})
        tags = []
        for _ in range(2):
            observation, _ = env.reset(seed=1, options={"scenario": "cut_in"})
            assert observation["state"][0] == pytest.approx(9.0, abs=0.2)  # m/s: it begins as the file says
            tags.append([env.step(AHEAD)[0]["tags"].tobytes() for _ in range(40)])
        assert tags[0] == tags[1]
        assert drive(env, 1) == first
    finally:
        env.close()


def test_route_tracks_position_along_and_across_it() -> None:
    route = Route(points(*((float(x), 0.0) for x in range(31))))
    route.update(4.25, 0.5)
    assert (route.metres, route.offset, route.half_lane) == (4.25, 0.5, 1.5)  # y is to the right of x
    route.update(5.0, -1.0)
    assert (route.metres, route.offset) == (5.0, -1.0)
    assert route.ahead(3.0) == (8.0, 0.0)
    assert route.ahead(99.0) == (30.0, 0.0)
    with pytest.raises(ValueError, match="road ends"):
        Route(points((0.0, 0.0)))


def test_self_crossing_route_is_followed_in_order() -> None:
    loop = [(30.0 * np.sin(a), 15.0 * np.sin(2.0 * a)) for a in np.linspace(0.0, 2.0 * np.pi, 200)]
    route = Route(points(*loop))
    metres = []
    for x, y in loop:
        route.update(x, y)
        metres.append(route.metres)
    assert np.all(np.diff(metres) > 0.0)
    assert metres[-1] == pytest.approx(route.length)


def test_terms_of_the_reward_match_the_documentation() -> None:
    route = Route(points(*((float(x), 0.0) for x in range(31))))
    reward = Reward(RewardWeights(progress=1.0, collision=30.0, departure=2.0, jerk=0.02), 0.9, 0.1)
    route.update(0.0, 0.0)
    reward.begin(Ego(speed=5.0), route)
    route.update(0.5, 0.0)
    assert reward.step(Ego(speed=5.0), route) == {"progress": 0.5, "collision": 0.0, "departure": 0.0, "jerk": 0.0}
    route.update(1.0, 1.1)  # 0.5 m beyond the edge of a lane 3 m wide
    terms = reward.step(Ego(speed=5.2, collisions=1), route)
    assert terms == pytest.approx({"progress": 0.5, "collision": -30.0, "departure": -0.1, "jerk": -0.04})


def test_a_rig_adds_its_cameras_to_the_observation(tmp_path: Path) -> None:
    rig = tmp_path / "rig.yaml"
    rig.write_text(
        "cameras:\n  - {name: left, size: 96x64, mount: {yaw: -60}}\n  - {name: rear, size: 64x32, mount: {yaw: 180}}\n"
    )
    env = gymnasium.make(neuralsim.gym.DRIVE, **SMALL, **RENDERED | {"state": False}, rig=str(rig))
    observation, _ = env.reset(seed=3)
    assert list(observation) == ["picture", "tags", "picture_left", "tags_left", "picture_rear", "tags_rear"]
    assert observation["picture_left"].shape == (64, 96, 3)
    assert observation["tags_rear"].shape == (32, 64, 1)
    observation = env.step(AHEAD)[0]
    assert env.observation_space.contains(observation)
    assert min(observation[f"picture{name}"].std() for name in ("", "_left", "_rear")) > 10.0
    assert (observation["tags"] != observation["tags_rear"]).mean() > 0.1
    env.close()
