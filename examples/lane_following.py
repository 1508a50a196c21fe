"""Behaviour cloning: does a small network keep its lane better on the simulator's tags or on generated images?

python examples/lane_following.py tags      # then: picture; needs neuralsim[gym,train]
"""

import sys

try:
    import numpy as np
    import torch
    from torch import nn

    from neuralsim.gym import DRIVE, gymnasium
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "neuralsim[gym,train]"')

EMPTY = {"vehicles": 0, "walkers": 0, "size": (128, 64), "fps": 10, "route_length": 80, "duration": 25}


def prepare(observation: np.ndarray) -> torch.Tensor:
    """Return u8 (1, C, 32, 64) from u8 (64, 128, C): one plane per class, or colours; every second pixel."""
    planes = 255 * np.eye(29, dtype=np.uint8)[observation[..., 0]] if observation.shape[2] == 1 else observation
    return torch.from_numpy(planes).permute(2, 0, 1)[None, :, ::2, ::2]


def episode(env: gymnasium.Env, seed: int, policy: nn.Module | None = None) -> tuple[list, float]:
    """Return (observation, expert steering) for each step, and the share of the route driven. Without a ``policy`` the
    expert steers, and is pushed off its line so that it shows how to recover; the pedals are always the expert's."""
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
    """Learn from the expert's drives; evaluate on routes with other seeds."""
    torch.manual_seed(0)
    env = gymnasium.make(DRIVE, observation=observed, **EMPTY)
    pairs = [pair for seed in range(episodes) for pair in episode(env, seed)[0]]
    observations, steer = (torch.cat(part) for part in zip(*pairs, strict=True))
    first, second, third = (nn.Conv2d(*sides, 3, 2, 1) for sides in ((observations.shape[1], 16), (16, 32), (32, 32)))
    head = nn.Flatten(), nn.Linear(1024, 1), nn.Tanh()
    policy = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU(), *head)
    optimiser = torch.optim.Adam(policy.parameters(), 1e-3)
    for batch in (batch for _ in range(epochs) for batch in torch.randperm(len(observations)).split(64)):
        optimiser.zero_grad()
        nn.functional.smooth_l1_loss(policy(observations[batch] / 255), steer[batch], beta=0.1).backward()
        optimiser.step()
    progress = np.array([episode(env, 1000 + seed, policy)[1] for seed in range(tests)])
    print(f"{observed}, {len(pairs)} steps: {progress.mean():.0%} of {tests} routes, {(progress == 1).sum()} arrived")


if __name__ == "__main__":
    main(*(sys.argv[1:2] or ["tags"]), *map(int, sys.argv[2:]))
