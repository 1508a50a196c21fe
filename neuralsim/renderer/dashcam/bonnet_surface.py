"""The bonnet of a car before a camera behind its windscreen: its shape, the shade of its paint, and what it mirrors.

The shape follows the side profile of the blueprint.
"""

from dataclasses import dataclass

import numpy as np

from neuralsim.town.assets.car_shapes import CARS, CarShape

#: Blueprint of the car and R,G,B of its paint, as CARLA writes them; "" where unknown.
Car = tuple[str, str]

SHORTEST_BONNET = 0.5  # m; vans and buses have none that can be seen
_SHAPE, _PAINT = "vehicle.tesla.model3", (60, 62, 66)  # where they are unknown
_GAMMA = 0.62  # from reflectance to what it adds to a picture, whose values are no intensities
_VARNISH, _STRAIGHT = 0.65, 0.045  # most reflectance, and that of a line of sight along the normal


@dataclass(frozen=True)
class BonnetSurface:
    """The metal of ``shape`` as seen from ``back`` metres behind and ``above`` metres above the lower edge of the
    windscreen. Points are given by their distance ahead of the eye and to its right, metres."""

    shape: CarShape
    back: float
    above: float

    def slopes(self, ahead: np.ndarray, aside: np.ndarray) -> np.ndarray:
        """Return how steep the line of sight to the metal is, (N, W), for distances (N, 1) and directions (W,)."""
        return (self._heights(ahead, ahead * aside[None, :]) - self.shape.cowl_z - self.above) / ahead

    def profile(self, aside: np.ndarray, steps: int, overhang: float) -> tuple[np.ndarray, np.ndarray]:
        """Return distances ahead (steps, 1), from the windscreen to ``overhang`` m beyond the nose, and the slopes of
        the lines of sight that touch the metal up to there, (steps, W), in directions (W,)."""
        length = self.shape.cowl_at + overhang
        ahead = self.back + np.linspace(0.0, length, steps, dtype=np.float32)[:, None]
        return ahead, np.maximum.accumulate(self.slopes(ahead, aside))

    @staticmethod
    def met(ahead: np.ndarray, slopes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Return how far ahead lines of sight with the slopes ``wanted`` (H,) meet the metal, f32 (H, W), of its
        ``profile``; those that pass above it: its far edge, since they mirror as that does."""
        met = np.stack([np.interp(wanted, column, ahead[:, 0]) for column in slopes.T], axis=1)
        return np.minimum(met, ahead[slopes.argmax(axis=0), 0][None, :]).astype(np.float32)

    def shading(self, ahead: np.ndarray, aside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return shade of the paint, reflectance, and azimuth and elevation (radians) of what is mirrored, each (H, W),
        for distances (H, W) and directions (W,)."""
        right, step = ahead * aside[None, :], np.float32(0.01)
        z = self._heights(ahead, right)
        slope_ahead = (self._heights(ahead + step, right) - self._heights(ahead - step, right)) / (2.0 * step)
        slope_right = (self._heights(ahead, right + step) - self._heights(ahead, right - step)) / (2.0 * step)
        normal = np.stack([-slope_ahead, -slope_right, np.ones_like(z)])
        normal /= np.linalg.norm(normal, axis=0)
        sight = np.stack([ahead, right, z - self.shape.cowl_z - self.above])
        sight /= np.linalg.norm(sight, axis=0)
        facing = np.clip(-(sight * normal).sum(axis=0), 0.0, 1.0)
        mirrored = sight + 2.0 * facing * normal
        gloss = (_STRAIGHT + (_VARNISH - _STRAIGHT) * (1.0 - facing) ** 5) ** _GAMMA
        shade = 0.62 + 0.38 * normal[2] ** 4
        azimuth = np.arctan2(mirrored[1], mirrored[0])
        return shade, gloss, azimuth, np.arcsin(np.clip(mirrored[2], -1.0, 1.0))

    def _heights(self, ahead: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the height of the metal over the ground, m."""
        shape = self.shape
        soft = 1.0 - shape.sharp
        along = np.maximum((ahead - self.back) / shape.cowl_at, 0.0)  # 0 at the windscreen, 1 at the nose
        half = 0.5 * shape.width * (1.0 - 0.10 * soft * np.minimum(along, 1.2) ** 3)
        across = np.abs(right) / half
        along = along / (1.0 - 0.09 * soft * np.minimum(across, 1.1) ** 2)  # rounded in plan
        fall = shape.cowl_z - shape.nose_z
        z = shape.cowl_z - fall * (0.62 * along + 0.38 * np.minimum(along, 1.3) ** 5)
        z = z - (0.016 + 0.020 * soft) * across**2 - 0.075 * np.minimum(across, 1.4) ** 8
        crease = np.exp(-(((across - 0.52 - 0.12 * (1.0 - along)) / 0.055) ** 2))
        z = z + (0.007 + 0.006 * shape.sharp) * crease * np.clip(1.2 - along, 0.0, 1.0)
        return np.asarray(z - 2.5 * np.maximum(along - 1.0, 0.0) ** 1.5 - 4.0 * np.maximum(across - 1.0, 0.0))


def paint_of(car: Car) -> tuple[int, int, int]:
    """Return the paint of a car, R, G, B; a dark grey where it is unknown."""
    parts = car[1].split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        return _PAINT
    red, green, blue = (min(int(part), 255) for part in parts)
    return red, green, blue


def shape_of(car: Car) -> CarShape:
    """Return the shape of a car's blueprint, or that of a saloon where it is unknown."""
    return CARS.get(car[0], CARS[_SHAPE])
