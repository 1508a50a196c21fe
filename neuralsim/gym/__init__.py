"""The drive as a Gymnasium environment; importing this registers ``NeuralSim/Drive-v0``.

``gymnasium.make("NeuralSim/Drive-v0")`` works after ``import neuralsim.gym``, and without it as
``gymnasium.make("neuralsim.gym:NeuralSim/Drive-v0")``.
"""

from neuralsim.base.extras import missing

try:
    import gymnasium
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(missing(error, "gym"), name=error.name) from None

from neuralsim.gym.env import DriveEnv
from neuralsim.gym.reward import RewardWeights

__all__ = ["DRIVE", "DriveEnv", "RewardWeights"]

DRIVE = "NeuralSim/Drive-v0"

if DRIVE not in gymnasium.registry:
    gymnasium.register(id=DRIVE, entry_point="neuralsim.gym.env:DriveEnv")
