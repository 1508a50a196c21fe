"""Where vehicles have their lamps: read by the shader, which draws them, and by who asks for their components.

A car's lamps follow from its shape, a lorry's are boxes of its mesh; of other vehicles they lie in their bounding box.
"""

from functools import cache
from typing import TypeAlias

from bridge.lamp_visibility import COMPONENTS
from neuralsim.town.assets.car_shapes import CARS, CarShape

Place: TypeAlias = tuple[float, float, float]  # ahead, right and up, m
#: Heights of a car's headlamp and of the indicator at its foot, m below the front edge of the bonnet; the place of
#: each, of the half width of the car.
HEADLAMP_BELOW_NOSE, INDICATOR_BELOW_NOSE = 0.16, 0.21
HEADLAMP_ASIDE, INDICATOR_ASIDE = 0.73, 0.82
INDICATOR_BESIDE = 0.11  # m from the middle of a rear lamp
TRUCK_ID = "vehicle.carlamotors.european_hgv"
TRUCK_LENGTH, TRUCK_LAMP, TRUCK_HEADLAMP = 8.2, (-4.03, 0.95, 0.84), (4.11, 0.9, 0.95)


def rear_lamp(car: CarShape) -> Place:
    """Return the centre of the face of the right rear lamp, metres."""
    return -car.length / 2.0 - 0.01, car.width * 0.385, min(car.tail_z, car.belt_z + 0.1) - 0.2


@cache  # asked for in every frame, of the vehicles that are lit
def lamps_of(name: str, middle: Place, half: Place) -> dict[str, Place]:
    """Return the centres of a vehicle's lamps in its own axes, metres, by CARLA's names of its components.

    Args:
        name: Blueprint id.
        middle: Centre of its bounding box in its axes, m.
        half: Half sizes of that box, m.
    """
    right = _right_lamps(name)
    places = {}
    for component, in_box in COMPONENTS.items():
        kind, side = component.rsplit("-", 2)[0], -1.0 if "-l-" in component else 1.0
        if kind in right:
            ahead, aside, up = right[kind]
            places[component] = ahead, side * aside, up
        else:
            ahead, aside, up = (m + share * h for m, share, h in zip(middle, in_box, half, strict=True))
            places[component] = ahead, aside, up
    return places


def _right_lamps(name: str) -> dict[str, Place]:
    """Return the lamps on the right, by the components' names without side and number; empty for a vehicle whose shape
    does not say."""
    if name == TRUCK_ID:
        return {each: TRUCK_LAMP if "back" in each else TRUCK_HEADLAMP for each in _KINDS}
    car = CARS.get(name)
    if car is None:
        return {}
    x, y, z = rear_lamp(car)
    front, half = car.length / 2.0 - 0.02, car.width / 2.0
    places = (
        (front, HEADLAMP_ASIDE * half, car.nose_z - HEADLAMP_BELOW_NOSE),
        (front, INDICATOR_ASIDE * half, car.nose_z - INDICATOR_BELOW_NOSE),
        (x, y, z),
        (x, y + INDICATOR_BESIDE, z),
    )
    return dict(zip(_KINDS, places, strict=True))


_KINDS = ("front-light", "front-blinker", "back-light", "back-blinker")
