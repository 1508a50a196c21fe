"""Where CARLA's own server is less kind to clients than the town: ``neuralsim town --strict``.

Each deviation names the source that it was read from, in the repository carla-simulator/carla at 0.9.16 where nothing
else is said: ``Server``, ``Game`` and ``Sensor`` stand for folders of Unreal/CarlaUE4/Plugins/Carla/Source/Carla.

In this module:

* Optical flow passes through half floats around 0.5 (``Sensor/OpticalFlowCamera.cpp``: (R - 0.5) * 4), so its steps are
  1/1024 of the image's half size for negative values and 1/512 for others (carla issues 5514, 4795, 8276); the sky
  has none.
* An instance camera shows tagged meshes only (``Sensor/InstanceSegmentationCamera.cpp``: ``ShowOnlyComponents``,
  ``SetAtmosphere(false)``), so what is behind them has the tag 0.
* The instance of an actor is its id, that of everything else Unreal's (``Game/Tagger.cpp``; carla PR 8334), cut to 16
  bits: every piece of road has one, and any may equal an actor's.
* Depth stays at 24 bits: ``Sensor/DepthCamera.cpp`` renders to 8-bit channels that share them. Issue 5514 names depth
  in its title, but its figures are those of the flow.
* Blueprints lack the attributes that only the town's have.
* What is spawned is chosen by the number of its definition, never by its name, and there is none with the number 0
  (``Actor/ActorDispatcher.cpp``: ``Bind`` counts from 1, ``SpawnActor`` refuses the others).
* An attribute of another type than its definition's counts as its default (``Actor/ActorBlueprintFunctionLibrary.cpp``:
  ``ActorAttributeToInt`` and its like).

In ``town_server`` and ``sensor_scheduler``:

* The mode and the other settings outlive the client that set them (``Game/CarlaEngine.cpp``, ``OnPreTick``: the loop
  waits for a tick cue from any client; carla PR 9450 changes this after 0.9.16). A new episode keeps them as well
  unless it is asked to reset them, and then resets all (``Game/CarlaEpisode.cpp``, ``LoadNewEpisode``).
* Nobody waits for a client: the world moves from the start, ``tick_cue`` is answered before its tick
  (``Server/CarlaServer.cpp``: the current frame + 1), and a sensor that has just been listened to may miss it.
* A client gets its first snapshot with the next tick, and knows no actors before (``Sensor/WorldObserver.cpp``,
  ``BroadcastTick``). ``apply_settings`` waits for it: a second, where nobody ticks
  (LibCarla/source/carla/client/detail/Simulator.cpp, ``SynchronizeFrame``).
* Almost all functions run between two ticks (``BIND_SYNC`` in ``Server/CarlaServer.cpp``, ``RunSome`` in
  ``OnPreTick``), so that an asynchronous server answers once per tick: ``apply_settings`` takes several.
* A new episode stalls all of that while Unreal opens its level: ten seconds, which is also the timeout that CARLA's own
  ``PythonAPI/util/config.py`` sets for it.
* Images are read back from the GPU in tasks of their own (``Sensor/PixelReader.cpp``, ``AsyncTask``), so that those of
  one tick arrive in any order.
* A batch attaches rigidly, whatever a command of it asks for (``Server/CarlaServer.cpp``, ``command_visitor``).
* Sensors outlive the vehicle that they are attached to (``Actor/ActorDispatcher.cpp``, ``DestroyActor``: of what
  belongs to an actor it destroys the controller only).
* A camera renders until it is destroyed, whether or not anybody listens (``Sensor/Sensor.cpp`` of the branch ue5-dev,
  ``ASensor::Tick``; 0.9.16's returns early).
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import njit

from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.town.core.sensor_blueprints import NOT_CARLAS
from neuralsim.town.core.types import Blueprint
from neuralsim.town.render.raster import Planes
from neuralsim.town.static_town import FIRST_SCENERY

#: Functions that CARLA's server answers at any time: ``BIND_ASYNC``.
ASYNCHRONOUS = frozenset({"version", "get_available_maps"})
FRAME_TIMEOUT = 0.5  # s that another function waits at most for the end of a tick
_PIECE = 16.0  # m, side of the pieces of road and ground that have an id of their own
_SKY = int(Tag.SKY)
_GOLDEN = 40503  # odd, near 2^16 / the golden ratio: spreads ids over 16 bits
_T = TypeVar("_T")


class Strictness(NamedTuple):
    """How strict a town is."""

    loading: float = 10.0  # s for which a new episode stalls the server


def blueprint(kind: Blueprint) -> Blueprint:
    """Return a blueprint without the attributes that CARLA's do not have."""
    return replace(kind, attributes=tuple(each for each in kind.attributes if each.id not in NOT_CARLAS))


def described(
    number: int,
    kind: str,
    values: Iterable[Sequence[Any]],
    blueprints: Sequence[Blueprint],
    types: Mapping[str, int],
) -> list[Any]:
    """Return the attributes in an ``ActorDescription`` that have an effect, each [id, type, value].

    Args:
        number: Of the definition.
        kind: The id of the blueprint.
        values: The attributes that came.
        blueprints: The library, in the order of its definitions.
        types: ``carla.ActorAttributeType`` by its name.

    Raises:
        ValueError: ``number`` is not that of ``kind``. CARLA refuses those that nothing has, and spawns something else
            for those that another blueprint has.
    """
    if not (1 <= number <= len(blueprints) and blueprints[number - 1].id == kind):
        raise ValueError(f"invalid actor description: the definition of {kind!r} does not have the number {number}")
    defined = {each.id: types[each.kind] for each in blueprints[number - 1].attributes}
    return [[ident, type_, value] for ident, type_, value in values if defined.get(ident, type_) == type_]


def any_order(items: Sequence[_T], frame: int) -> list[_T]:
    """Return ``items`` in an order that depends on the frame only."""
    return random.Random(frame).sample(items, len(items))


def degrade(kind: str, planes: Planes, pixels: np.ndarray, focal: float, pose: np.ndarray) -> None:
    """Make an encoded camera image, u8 (bytes,), as coarse as CARLA's, in place.

    Args:
        kind: The id of the camera's blueprint.
        planes: What it was encoded from.
        pixels: The image.
        focal: Focal length, px.
        pose: World <- camera, f64 (4, 4).
    """
    if kind == "sensor.camera.optical_flow":
        flow = pixels.view(np.float32).reshape(-1, 2)
        flow[planes.tag.reshape(-1) == _SKY] = 0.0
        flow[:] = ((flow * 0.25 + 0.5).astype(np.float16).astype(np.float32) - 0.5) * 4.0
    elif kind == "sensor.camera.instance_segmentation":
        _unreal_ids(planes.tag, planes.instance, planes.depth, focal, pose, pixels.view(np.uint32))


@njit(**kernels.EXACT)
def _unreal_ids(
    tag: np.ndarray, instance: np.ndarray, depth: np.ndarray, focal: float, pose: np.ndarray, out: np.ndarray
) -> None:
    """Write tags and ids, BGRA words (H * W,): no tag for the sky, scattered ids for what is no actor."""
    height, width = tag.shape
    for i in range(height):
        for j in range(width):
            ident, label = np.uint32(instance[i, j]), np.uint32(tag[i, j])
            if label == _SKY:
                ident = label = np.uint32(0)
            elif ident == 0:  # a piece of road or ground
                right, up, d = (j + 0.5 - width / 2.0) / focal, -(i + 0.5 - height / 2.0) / focal, depth[i, j]
                x = pose[0, 3] + d * (pose[0, 0] + pose[0, 1] * right + pose[0, 2] * up)
                y = pose[1, 3] + d * (pose[1, 0] + pose[1, 1] * right + pose[1, 2] * up)
                piece = np.int64(np.floor(x / _PIECE)) * 31 + np.int64(np.floor(y / _PIECE)) * 977
                ident = np.uint32((piece * _GOLDEN) & 0xFFFF)
            elif ident > FIRST_SCENERY - 1:
                ident = np.uint32((np.int64(ident) * _GOLDEN) & 0xFFFF)
            out[i * width + j] = (
                np.uint32(0xFF000000)
                | label << np.uint32(16)
                | (ident & np.uint32(255)) << np.uint32(8)
                | ident >> np.uint32(8)
            )
