"""The meshes of everything that is drawn more than once, by name, in the order of the scene."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from neuralsim.town.assets import plant_meshes, prop_meshes
from neuralsim.town.assets.lit_bodies import COLUMNS, IS_DRIVEN, body_row, walker_row, wheel_row
from neuralsim.town.assets.meshes import Mesh, corner_normals
from neuralsim.town.assets.pavement_meshes import pavement_templates
from neuralsim.town.assets.people_meshes import KINDS, PHASES, walker_templates
from neuralsim.town.assets.prop_boxes import BOXES, block
from neuralsim.town.assets.road_meshes import road_templates
from neuralsim.town.assets.vehicles.vehicle_meshes import vehicle_templates, vehicles
from neuralsim.town.assets.vehicles.wheels import WheelTable
from neuralsim.town.disk_cache import cached

ARM = 3.6  # m, length of the arm of a traffic light over a wide road
_SIGNAL_COLOURS = {"red": (255, 60, 40), "yellow": (255, 200, 50), "green": (70, 255, 140)}
_DIM = {"red": (96, 24, 20), "yellow": (98, 78, 22), "green": (22, 84, 40)}
TREE_SEEDS = 3

Vector = tuple[float, float, float]


class Templates:
    """The templates: ``meshes`` in order, their ``index`` by name, and the ``wheels`` of vehicles.

    ``bodies`` f32 (meshes, K) are parameters of the moving ones for shading (see `body_row`), 0 for others; ``normals``
    are their ``corner_normals``, of others i8 (0, 9); ``sheltered`` i32 (meshes,): of a walker the template with an
    open umbrella, of others the same one.
    """

    def __init__(self) -> None:
        self.meshes: list[Mesh] = []
        self.index: dict[str, int] = {}
        self._extents: dict[str, tuple[Vector, Vector]] = {}
        self.vehicles = vehicle_templates()
        for name, mesh in self.vehicles.items():
            self._add(name, mesh)
        self.walkers: dict[str, int] = {}
        for kind in KINDS:
            phases = walker_templates(kind)
            assert len(phases) == PHASES
            self.walkers[kind] = len(self.meshes)
            for phase, mesh in enumerate(phases):
                self._add(f"{kind} {phase}", mesh)
        for kind in KINDS:
            for phase, mesh in enumerate(walker_templates(kind, has_umbrella=True)):
                self._add(f"{kind} {phase} umbrella", mesh)
        for arm in (0.0, ARM, -ARM):
            for state in prop_meshes.STATES:
                mesh = prop_meshes.traffic_light(arm)
                lit = (mesh.colours == np.array(_DIM[state], np.uint8)).all(axis=1)
                colours = np.where(lit[:, None], np.array(_SIGNAL_COLOURS[state], np.uint8), mesh.colours)
                self._add(f"light {arm:g} {state}", replace(mesh, colours=colours))
        for name, mesh in _props().items():
            self._add(name, mesh)
        parts = []
        for name, vehicle in vehicles().items():
            whole, first = self.index[name], len(self.meshes)
            self._add(f"{name} body", vehicle.body)
            self._add(f"{name} wheel", vehicle.wheel)
            parts.append((whole, first, first + 1, vehicle))
        self.wheels = WheelTable(len(self.meshes), parts)
        self.bodies = np.zeros((len(self.meshes), COLUMNS), np.float32)
        walkers = {f"{kind} {phase}": (kind, phase) for kind in KINDS for phase in range(PHASES)}
        for name in self.vehicles:
            self.bodies[self.index[name]] = body_row(name, self.meshes[self.index[name]])
        self.sheltered = np.arange(len(self.meshes), dtype=np.int32)
        for name, (kind, phase) in walkers.items():
            bare, sheltered = self.index[name], self.index[f"{name} umbrella"]
            self.sheltered[bare] = sheltered
            for each in (bare, sheltered):
                count = len(self.meshes[each].triangles)
                self.bodies[each] = walker_row(kind, phase, self.meshes[bare], count)
        self.normals = [np.zeros((0, 9), np.int8) for _ in self.meshes]
        for name in (*self.vehicles, *walkers, *(f"{name} umbrella" for name in walkers)):
            self.normals[self.index[name]] = corner_normals(self.meshes[self.index[name]])
        for (whole, body, wheel, vehicle), name in zip(parts, self.vehicles, strict=True):
            self.bodies[body] = self.bodies[whole]  # parked cars are placed whole
            self.bodies[body, IS_DRIVEN] = 1.0
            if len(vehicle.wheels) > 2:
                self.bodies[wheel] = wheel_row(name, vehicle.wheels[0].radius)
            for part in (body, wheel):
                self.normals[part] = corner_normals(self.meshes[part])

    def _add(self, name: str, mesh: Mesh) -> None:
        self.index[name] = len(self.meshes)
        self.meshes.append(mesh)

    def extent(self, name: str) -> tuple[Vector, Vector]:
        """Return the half sizes of a mesh's bounding box and its centre, metres."""
        if name not in self._extents:
            low, high = self.meshes[self.index[name]].bounds
            half, middle = (high.astype(float) - low) / 2, (high.astype(float) + low) / 2
            self._extents[name] = _vector(half), _vector(middle)
        return self._extents[name]


def _vector(values: np.ndarray) -> Vector:
    x, y, z = values.tolist()
    return x, y, z


@lru_cache(maxsize=1)
def templates() -> Templates:
    """Return the templates, which all towns of this process share."""
    return cached("templates", (), Templates)


def _props() -> dict[str, Mesh]:
    p = prop_meshes
    props = {
        "lamp": p.street_lamp(),
        "lantern": p.lantern(),
        "bollard": p.bollard(),
        "delineator": p.delineator(),
        "bench": p.bench(),
        "litter": p.litter_bin(),
        "bin": p.wheeled_bin(),
        "bin brown": p.wheeled_bin((88, 62, 44)),
        "cabinet": p.cabinet(),
        "post": p.post_box(),
        "stop": p.bus_stop(),
        "fence": p.fence(2.0),
        "railing": p.railing(2.0),
        "hedge": plant_meshes.hedge(2.05, 1.3),
        "hedge low": plant_meshes.hedge(2.05, 0.9, 0.6, 3),
        "hedge high": plant_meshes.hedge(2.05, 1.9, 0.9, 5),
    }
    for number, names in enumerate(p.DESTINATIONS):
        props[f"direction {number}"] = p.direction_sign(names)
    for kind in p.SIGN_KINDS:
        props[f"sign {kind}"] = p.sign(kind)
    for kind in plant_meshes.TREES:
        for seed in range(TREE_SEEDS):
            props[f"{kind} {seed}"] = plant_meshes.tree(kind, seed)
    for seed in range(2):
        props[f"bush {seed}"] = plant_meshes.bush(0.8, seed)
    props |= {f"box {name}": block(name) for name in BOXES}
    return props | pavement_templates() | road_templates()
