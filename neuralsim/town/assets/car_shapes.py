"""The cars, vans and buses of the town: side profiles by CARLA blueprint id, about the size of the real vehicles."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.tags import Tag
from neuralsim.town.assets.meshes import PAINT, RGB


@dataclass(frozen=True)
class CarShape:
    """The side profile of a car; ``*_at`` are metres behind the front bumper, ``*_z`` heights above ground, metres."""

    length: float
    width: float  # without mirrors
    height: float
    wheelbase: float
    front: float  # front overhang: bumper to front axle
    wheel: float  # wheel radius
    clearance: float
    nose_z: float  # front edge of the bonnet
    cowl_at: float  # where the windscreen meets the bonnet
    cowl_z: float
    roof_from: float  # top of the windscreen
    roof_to: float  # top of the rear window
    tail_at: float  # bottom of the rear window
    tail_z: float
    belt_z: float  # lower edge of the side windows, at the rear
    tumble: float = 0.26  # tumblehome of the cabin, metres inwards per metre of height
    pillars: tuple[float, ...] = ()  # metres behind the front bumper
    glass_to: float = 1.0  # share of the cabin's length at which the side windows end
    tag: int = Tag.CAR
    colour: RGB = PAINT
    sharp: float = 0.0  # 0: ends rounded in plan, 1: box-like (vans, buses)
    tyre_width: float = 0.21

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


#: length width height, wheelbase front wheel clearance, nose_z cowl_at cowl_z, roof_from roof_to, tail_at tail_z belt_z
CARS: dict[str, CarShape] = {
    "vehicle.audi.a2": CarShape(
        3.83, 1.67, 1.55, 2.41, 0.72, 0.3, 0.17, 0.78, 0.98, 1, 1.72, 3.3, 3.66, 1.05, 1.02,
        tumble=0.27, pillars=(1.98, 2.95),
    ),
    "vehicle.nissan.micra": CarShape(
        3.72, 1.66, 1.54, 2.43, 0.66, 0.29, 0.17, 0.8, 0.98, 1, 1.62, 3.12, 3.55, 1, 0.98,
        tumble=0.28, pillars=(1.95, 2.85),
    ),
    "vehicle.mini.cooper_s": CarShape(
        3.71, 1.68, 1.41, 2.47, 0.7, 0.3, 0.15, 0.8, 1.22, 0.98, 1.66, 3.22, 3.58, 0.98, 0.97,
        tumble=0.2, pillars=(2.3,),
    ),
    "vehicle.citroen.c3": CarShape(
        3.99, 1.75, 1.5, 2.54, 0.79, 0.31, 0.17, 0.82, 1.08, 1.02, 1.78, 3.36, 3.82, 1.04, 1.03,
        pillars=(2.15, 3.1),
    ),
    "vehicle.seat.leon": CarShape(
        4.28, 1.8, 1.46, 2.64, 0.86, 0.31, 0.15, 0.75, 1.26, 0.96, 1.98, 3.62, 4.12, 1.02, 1,
        tumble=0.27, pillars=(2.35, 3.3),
    ),
    "vehicle.tesla.model3": CarShape(
        4.69, 1.85, 1.44, 2.88, 0.84, 0.33, 0.14, 0.68, 1.18, 0.93, 2.1, 3.35, 4.32, 1.08, 0.98,
        tumble=0.29, pillars=(2.5, 3.4),
    ),
    "vehicle.lincoln.mkz_2017": CarShape(
        4.93, 1.86, 1.48, 2.85, 0.98, 0.33, 0.15, 0.76, 1.5, 0.97, 2.28, 3.55, 4.38, 1.09, 1,
        tumble=0.27, pillars=(2.6, 3.5),
    ),
    "vehicle.mercedes.coupe": CarShape(
        4.7, 1.82, 1.4, 2.78, 0.84, 0.33, 0.13, 0.74, 1.58, 0.94, 2.3, 3.25, 4.2, 1.02, 0.98,
        tumble=0.3, pillars=(2.85,),
    ),
    "vehicle.dodge.charger_2020": CarShape(
        5.04, 1.91, 1.48, 3.05, 0.94, 0.36, 0.14, 0.8, 1.62, 1, 2.42, 3.65, 4.52, 1.13, 1.04,
        tumble=0.3, pillars=(2.85, 3.7),
    ),
    "vehicle.toyota.prius": CarShape(
        4.5, 1.76, 1.49, 2.7, 0.93, 0.31, 0.14, 0.74, 1.16, 0.98, 2.06, 3.3, 4.36, 1.12, 1.02,
        tumble=0.28, pillars=(2.4, 3.35),
    ),
    "vehicle.bmw.grandtourer": CarShape(
        4.56, 1.8, 1.62, 2.78, 0.87, 0.33, 0.16, 0.86, 1.22, 1.06, 1.96, 4.16, 4.46, 1.1, 1.05,
        tumble=0.24, pillars=(2.3, 3.2, 3.95),
    ),
    "vehicle.audi.etron": CarShape(
        4.9, 1.94, 1.63, 2.93, 0.91, 0.37, 0.19, 0.88, 1.48, 1.1, 2.18, 4.22, 4.74, 1.16, 1.1,
        pillars=(2.6, 3.55, 4.2),
    ),
    "vehicle.nissan.patrol": CarShape(
        5, 1.93, 1.86, 2.95, 0.86, 0.41, 0.25, 1.05, 1.52, 1.22, 2.06, 4.72, 4.93, 1.2, 1.18,
        tumble=0.16, pillars=(2.55, 3.5, 4.3), sharp=0.5,
    ),
    "vehicle.jeep.wrangler_rubicon": CarShape(
        4.33, 1.87, 1.84, 2.46, 0.72, 0.41, 0.27, 1.08, 1.52, 1.16, 1.84, 4.02, 4.16, 1.14, 1.13,
        tumble=0.1, pillars=(2.55, 3.3), sharp=0.7,
    ),
    "vehicle.audi.tt": CarShape(
        4.18, 1.83, 1.35, 2.5, 0.88, 0.33, 0.12, 0.72, 1.42, 0.92, 2.08, 2.85, 3.88, 0.96, 0.94,
        tumble=0.32, pillars=(2.75,),
    ),
    "vehicle.ford.mustang": CarShape(
        4.72, 1.88, 1.31, 2.74, 0.84, 0.34, 0.13, 0.8, 1.9, 0.95, 2.52, 3.2, 4.15, 0.99, 0.97,
        tumble=0.32, pillars=(3.1,),
    ),
    "vehicle.ford.crown": CarShape(
        5.38, 1.98, 1.48, 2.91, 1.05, 0.33, 0.15, 0.78, 1.62, 0.98, 2.42, 3.7, 4.42, 1.06, 1,
        tumble=0.3, pillars=(2.85, 3.75), colour=(225, 180, 40),
    ),
    "vehicle.volkswagen.t2": CarShape(
        4.5, 1.72, 1.95, 2.4, 1.1, 0.32, 0.2, 1.16, 0.12, 1.2, 0.42, 4.32, 4.44, 1.22, 1.2,
        tumble=0.12, pillars=(1.15, 2.2, 3.25), sharp=0.75,
    ),
    "vehicle.mercedes.sprinter": CarShape(
        5.91, 1.99, 2.66, 3.66, 1, 0.34, 0.2, 1.12, 0.92, 1.38, 1.75, 5.8, 5.88, 1.3, 1.34,
        tumble=0.1, pillars=(1.95,), glass_to=0.26, sharp=0.8,
    ),
    "vehicle.mitsubishi.fusorosa": CarShape(
        10.2, 2.5, 3.05, 5.6, 2.3, 0.48, 0.32, 1.22, 0.06, 1.24, 0.2, 10.05, 10.17, 1.4, 1.22,
        tumble=0.04, pillars=(1.5, 3.1, 4.7, 6.3, 7.9), tag=Tag.BUS, sharp=1.0, tyre_width=0.3,
    ),
    # a pickup with a short cabin and a long bed under a flat cover
    "vehicle.tesla.cybertruck": CarShape(
        5.35, 1.92, 1.82, 3.22, 0.92, 0.38, 0.26, 1.02, 1.48, 1.16, 2.06, 3.42, 3.6, 1.12, 1.12,
        tumble=0.18, pillars=(2.65,), sharp=0.4,
    ),
}  # fmt: skip

#: The cab of a lorry, with one axle: the wheelbase puts the other one far outside of it.
LORRY_CAB = CarShape(
    2.3, 2.45, 3.05, 50.0, 1.35, 0.5, 0.42, 1.45, 0.05, 1.48, 0.25, 2.22, 2.28, 1.5, 1.48,
    tumble=0.05, pillars=(1.45,), glass_to=0.6, tag=Tag.TRUCK, sharp=1.0, tyre_width=0.32,
)  # fmt: skip
