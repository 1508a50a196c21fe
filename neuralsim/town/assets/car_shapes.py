"""The cars, vans and buses of the town: side profiles by CARLA blueprint id, from ``cars.yaml``."""

from pathlib import Path
from typing import Literal

import msgspec

from bridge.tags import Tag
from bridge.untrusted import yaml
from neuralsim.town.assets.meshes import PAINT, RGB


class CarShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The side profile of a car and its place in traffic; ``cars.yaml`` says what each field is."""

    length: float
    width: float
    height: float
    wheelbase: float
    front: float
    wheel: float
    clearance: float
    nose_z: float
    cowl_at: float
    cowl_z: float
    roof_from: float
    roof_to: float
    tail_at: float
    tail_z: float
    belt_z: float
    pillars: tuple[float, ...] = ()
    tumble: float = 0.26
    glass_to: float = 1.0
    sharp: float = 0.0
    tyre_width: float = 0.21
    colour: RGB = PAINT
    base_type: Literal["car", "van", "bus", "truck"] = "car"
    special_type: Literal["", "electric", "emergency"] = ""
    street_share: float = 1.0

    @property
    def tag(self) -> Tag:
        """Its semantic tag: CARLA's vans are cars."""
        return {"bus": Tag.BUS, "truck": Tag.TRUCK}.get(self.base_type, Tag.CAR)

    @property
    def has_rear_window(self) -> bool:
        """Whether glass reaches round to the rear: a van has a closed box."""
        return self.glass_to >= 0.99

    @property
    def glass_end(self) -> float:
        """Where the side windows end, metres behind the front bumper."""
        if self.has_rear_window:
            return self.roof_to + 0.14 * (self.tail_at - self.roof_to)
        return self.cowl_at - 0.02 + self.glass_to * (self.tail_at - self.cowl_at)


def load(path: Path) -> dict[str, CarShape]:
    """Return the shapes in a file. Raises ``msgspec.ValidationError``, which names the field that is wrong."""
    return msgspec.convert(yaml.read(path), dict[str, CarShape])


CARS = load(Path(__file__).with_name("cars.yaml"))
#: The cab of a lorry, with one axle: the wheelbase puts the other one far outside of it.
LORRY_CAB = CARS.pop("lorry cab")
