"""Props of CARLA's blueprint library that are a box of about the right size and colour."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from bridge.tags import Tag
from bridge.untrusted import yaml
from neuralsim.town.assets.meshes import RGB, Mesh, box, merge
from neuralsim.town.assets.posters import poster


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The length, width and height of a box, m, and its colour."""

    size: tuple[float, float, float]
    colour: RGB


#: By the last part of their names.
BOXES = msgspec.convert(yaml.read(Path(__file__).with_name("props.yaml")), dict[str, Box])


def block(name: str) -> Mesh:
    """Return the box of a prop in `BOXES`, on the ground; one for advertisements has a poster on either side."""
    prop = BOXES[name]
    length, width, height = prop.size
    solid = box(prop.size, (0.0, 0.0, height / 2.0), Tag.DYNAMIC, prop.colour)
    if name != "advertisement":
        return solid
    sheets = [
        poster(seed, 0.86 * width, 0.7 * height).moved(x=0.5 * length + 0.005, z=0.24 * height) for seed in (8, 9)
    ]
    sheets = [replace(each, tags=np.full(len(each.tags), Tag.DYNAMIC, np.uint8)) for each in sheets]
    return merge([solid, sheets[0], sheets[1].moved(yaw=180.0)])
