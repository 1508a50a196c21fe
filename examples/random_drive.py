"""The shortest use of the Gymnasium environment: random actions, tags as observations, a scenario, the reward.

python examples/random_drive.py      # needs neuralsim[gym]
"""

import sys

try:
    from neuralsim.gym import DRIVE, gymnasium
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "neuralsim[gym]"')


def main(steps: int = 200, scenario: str | None = "cut_in", **options: object) -> float:
    """Take ``steps`` random actions; return the total reward."""
    env = gymnasium.make(DRIVE, **options)
    env.action_space.seed(0)
    total = 0.0
    env.reset(seed=0, options={"scenario": scenario})
    for _ in range(steps):
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        total += float(reward)
        if terminated or truncated:
            env.reset()
    env.close()
    print(f"{total:.1f} in {steps} steps; the last route: {info['progress']:.0%}")
    return total


if __name__ == "__main__":
    main()
