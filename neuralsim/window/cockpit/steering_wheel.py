"""The steering wheel: drawn once for a radius, turned copies are kept by angle."""

import numpy as np
import pygame

_OVERSAMPLING = 2  # oversampling
_LOCK = 150.0  # degrees of the drawn wheel at full steering
_STEP = 1.5  # degrees between two drawn angles
_RIM_MIDDLE = 0.93  # radii
_RIM_HALF_WIDTH = 0.062  # radii


class SteeringWheel:
    """Wheels of one radius by angle, not yet lit."""

    def __init__(self) -> None:
        self._radius = 0
        self._straight: pygame.Surface | None = None
        self._turned: dict[int, pygame.Surface] = {}

    def prepare(self, radius: int) -> None:
        """Draw the wheel of ``radius`` px."""
        self._radius, self._straight, self._turned = radius, _wheel(radius * _OVERSAMPLING), {}

    def at(self, radius: int, steer: float) -> tuple[int, pygame.Surface]:
        """Return the wheel of ``radius`` px steered by ``steer``, -1 to 1, and the number of its angle."""
        if self._straight is None or radius != self._radius:
            self.prepare(radius)
        assert self._straight is not None
        step = round(steer * _LOCK / _STEP)
        if step not in self._turned:
            self._turned[step] = pygame.transform.rotozoom(self._straight, -step * _STEP, 1.0 / _OVERSAMPLING)
        return step, self._turned[step]


def _wheel(radius: int) -> pygame.Surface:
    """Return a wheel straight ahead: a leather rim with a mark at its top, and three spokes."""
    side = 2 * radius + 8
    y, x = np.mgrid[:side, :side].astype(np.float32) - (side - 1) / 2.0
    away = np.hypot(x, y) / radius
    across = (away - _RIM_MIDDLE) / _RIM_HALF_WIDTH
    rim = np.clip((1.0 - np.abs(across)) * _RIM_HALF_WIDTH * radius, 0.0, 1.0)
    tube = np.sqrt(np.clip(1.0 - across**2, 0.0, 1.0))
    angle = np.arctan2(x, -y)  # from the top, clockwise
    shade = 26.0 + 30.0 * tube + 46.0 * np.clip(across, 0.0, 1.0) * np.clip(-y / radius, 0.0, 1.0)
    stitch = (np.abs(across + 0.55) < 0.07) & (np.sin(angle * 110.0) > 0.1)
    shade = shade + 34.0 * stitch
    grain = np.random.default_rng(2).normal(0.0, 1.6, shade.shape).astype(np.float32)
    shade = shade + grain * tube
    spokes = np.zeros_like(away)
    for direction in (0.0, np.pi, 0.5 * np.pi):
        along = x * np.cos(direction) + y * np.sin(direction)
        aside = np.abs(-x * np.sin(direction) + y * np.cos(direction)) / radius
        wide = 0.075 + 0.07 * np.clip(1.0 - along / radius, 0.0, 1.0) ** 2
        spokes = np.maximum(spokes, np.clip((wide - aside) * radius, 0.0, 1.0) * ((along > 0.0) & (away < _RIM_MIDDLE)))
    hub = np.clip((0.34 - np.hypot(x * 0.92, y * 1.1) / radius) * radius, 0.0, 1.0)
    body = np.maximum(hub, spokes)
    plate = np.clip(48.0 - 16.0 * y / radius, 24.0, 74.0)
    value = np.where(rim > 0.0, shade, plate)
    rgb = np.stack([value * tint for tint in (1.0, 1.0, 1.04)], axis=-1)
    mark = (np.abs(angle) * away * radius < 0.03 * radius) & (rim > 0.0)
    rgb[mark] = np.stack([shade * tint for tint in (2.3, 0.75, 0.62)], axis=-1)[mark]
    wheel = pygame.Surface((side, side), pygame.SRCALPHA)
    pygame.surfarray.pixels3d(wheel)[:] = rgb.clip(0, 255).astype(np.uint8).swapaxes(0, 1)
    pygame.surfarray.pixels_alpha(wheel)[:] = (np.maximum(rim, body) * 255).astype(np.uint8).T
    return wheel
