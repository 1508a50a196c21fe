"""Behaviour cloning: does a small network keep its lane better on the simulator's tags or on neural pictures?

python examples/lane_following.py tags      # then: picture; needs neuralsim[gym,train]
"""

import sys

import gymnasium
import numpy as np
import torch
from torch import nn

import neuralsim.gym

EMPTY = {"vehicles": 0, "walkers": 0, "size": (128, 64), "fps": 10, "route_length": 80, "duration": 25}


def prepare(seen: np.ndarray) -> torch.Tensor:
    """u8 (1, C, 32, 64) of u8 (64, 128, C): a plane for each class, or colours; every second pixel."""
    planes = 255 * np.eye(29, dtype=np.uint8)[seen[..., 0]] if seen.shape[2] == 1 else seen
    return torch.from_numpy(planes).permute(2, 0, 1)[None, :, ::2, ::2]


def episode(env: gymnasium.Env, seed: int, policy: nn.Module | None = None) -> tuple[list, float]:
    """(observation, expert's steering) of each step, and the share of the route that was driven. Without a ``policy``
    the expert steers, and is pushed aside so that it shows how to come back; pedals are always its own."""
    (observation, _), random, pairs, push = env.reset(seed=seed), np.random.default_rng(seed), [], 0.0
    while True:
        action = env.unwrapped.expert(cruise=6.0)
        pairs.append((prepare(observation), torch.tensor([[action[0]]])))
        push = 0.9 * push + 0.08 * random.standard_normal()
        with torch.no_grad():
            action[0] = action[0] + push if policy is None else policy(pairs[-1][0] / 255).item()
        observation, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return pairs, 1.0 if info["arrived"] else info["progress"]


def main(observed: str, episodes: int = 24, epochs: int = 12, tests: int = 16) -> None:
    """Learn from the expert's drives, be judged on routes of other seeds."""
    torch.manual_seed(0)
    env = gymnasium.make(neuralsim.gym.DRIVE, observation=observed, **EMPTY)
    pairs = [pair for seed in range(episodes) for pair in episode(env, seed)[0]]
    seen, steer = (torch.cat(part) for part in zip(*pairs, strict=True))
    first, second, third = (nn.Conv2d(*sides, 3, 2, 1) for sides in ((seen.shape[1], 16), (16, 32), (32, 32)))
    head = nn.Flatten(), nn.Linear(1024, 1), nn.Tanh()
    policy = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU(), *head)
    optimiser = torch.optim.Adam(policy.parameters(), 1e-3)
    for batch in (batch for _ in range(epochs) for batch in torch.randperm(len(seen)).split(64)):
        optimiser.zero_grad()
        nn.functional.smooth_l1_loss(policy(seen[batch] / 255), steer[batch], beta=0.1).backward()
        optimiser.step()
    done = np.array([episode(env, 1000 + seed, policy)[1] for seed in range(tests)])
    print(
        f"{observed}: {len(seen)} steps; of {tests} new routes {done.mean():.0%}, {(done == 1).mean():.0%} to the end"
    )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
