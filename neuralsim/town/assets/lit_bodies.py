"""Parameters of moving bodies for shading: their sizes and, for cars, the positions of glass, axles and lamps."""

import zlib

import numpy as np

from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.looks import PLATE
from neuralsim.town.assets.meshes import Mesh
from neuralsim.town.assets.people_meshes import KINDS, TOPS
from neuralsim.town.assets.vehicles.lamps import rear_lamp

#: Columns of a body's row: half length, half width, height; x of the edges of bonnet and boot lid at the glass and of
#: the axles; wheel radius; heights of the windows' lower edge (0: not a car), of the bonnet's front edge and of the
#: sills; x of three pillars (``NONE`` where there are fewer); centre of a rear lamp (|y|, z); bits of the lit lamps; x
#: at which the side windows end; a number 0..1 that chooses grille and rims; 1: a van with a box; of walkers
#: their scale, the number of triangles from theirs to those of the same body that stands, the number of their top in
#: ``people_meshes.TOPS``, and 1 for men; 1: somebody sits at the wheel, as in all vehicles but parked ones;
#: heights of the middles of plates made of triangles, in front and behind (0: none); the object's instance.
LENGTH, HALF_WIDTH, TALL, COWL, TAIL, FRONT_AXLE, REAR_AXLE, RADIUS, BELT, NOSE, SILL, PILLAR = range(12)
LAMP_Y, LAMP_Z, LIT, GLASS_END, STYLE, IS_VAN, SCALE, TO_STANDING, TOP, IS_MAN, IS_DRIVEN = range(14, 25)
PLATE_FRONT, PLATE_REAR, NUMBER, COLUMNS = range(25, 29)
NONE = -99.0
#: Bits of ``LIT``, as in ``carla.VehicleLightState``.
LOW_BEAM, HIGH_BEAM, BRAKE, RIGHT, LEFT = 2, 4, 8, 16, 32


def body_row(name: str, mesh: Mesh) -> np.ndarray:
    """Return f32 (COLUMNS,) for the ``mesh`` of a moving body; ``name`` is the blueprint id of a vehicle."""
    low, high = mesh.bounds
    row = np.zeros(COLUMNS, np.float32)
    row[LENGTH], row[HALF_WIDTH], row[TALL] = (high[0] - low[0]) / 2.0, (high[1] - low[1]) / 2.0, high[2]
    row[PILLAR : PILLAR + 3] = NONE
    is_plate = (mesh.colours == np.array(PLATE, np.uint8)).all(axis=1)
    for column, side in ((PLATE_FRONT, 1.0), (PLATE_REAR, -1.0)):
        corners = mesh.vertices[mesh.triangles[is_plate]].reshape(-1, 3)
        corners = corners[corners[:, 0] * side > 0.0]
        if len(corners):
            row[column] = (corners[:, 2].min() + corners[:, 2].max()) / 2.0
    car = CARS.get(name)
    if car is None:
        return row
    half = car.length / 2.0
    row[LENGTH], row[HALF_WIDTH], row[TALL] = half, car.width / 2.0, car.height
    row[COWL], row[TAIL] = half - car.cowl_at, half - car.tail_at
    row[FRONT_AXLE], row[REAR_AXLE] = half - car.front, half - car.front - car.wheelbase
    row[RADIUS], row[BELT], row[NOSE], row[SILL] = car.wheel, (car.belt_z + car.cowl_z) / 2.0, car.nose_z, car.clearance
    for k, pillar in enumerate(car.pillars[:3]):
        row[PILLAR + k] = half - pillar
    row[LAMP_Y], row[LAMP_Z] = rear_lamp(car)[1:]
    row[GLASS_END], row[IS_VAN] = half - car.glass_end, not car.has_rear_window
    row[STYLE] = _style(name)
    return row


def walker_row(kind: str, phase: int, mesh: Mesh, count: int) -> np.ndarray:
    """Return f32 (COLUMNS,) for a walker of a kind in ``KINDS``. Phases follow one another in the scene.

    ``mesh``: that without umbrella; ``count``: number of triangles, with it if there is one.
    """
    row, body = body_row("", mesh), KINDS[kind]
    row[SCALE], row[TO_STANDING] = body.scale, -phase * count
    row[TOP], row[IS_MAN] = TOPS.index(body.top), body.is_man
    return row


def wheel_row(name: str, radius: float) -> np.ndarray:
    """Return f32 (COLUMNS,) for a wheel of ``radius`` m of the vehicle ``name``. It casts no shadow by itself."""
    row = np.zeros(COLUMNS, np.float32)
    row[RADIUS], row[STYLE] = radius, _style(name)
    return row


def _style(name: str) -> float:
    """Return the number 0..1 of a vehicle."""
    return zlib.crc32(name.encode()) % 1000 / 1000.0
