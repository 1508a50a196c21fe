"""Props of CARLA's blueprint library that are a box of about the right size and colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import (
    RGB,
    Mesh,
    box,
    merge,
)
from neuralsim.town.assets.posters import poster
from neuralsim.town.assets.prop_meshes import DARK, STEEL, WOOD

#: Props that are a box of about the right size and colour: length, width, height (m), RGB.
BOXES: dict[str, tuple[float, float, float, RGB]] = {
    "advertisement": (0.3, 1.4, 2.4, (196, 198, 200)),
    "atm": (0.8, 0.9, 2.0, (60, 84, 120)),
    "barbeque": (0.6, 1.1, 1.0, (52, 50, 48)),
    "barrel": (0.6, 0.6, 0.9, (160, 70, 40)),
    "bike helmet": (0.3, 0.25, 0.2, (200, 60, 50)),
    "bikeparking": (0.6, 1.8, 0.8, STEEL),
    "box01": (0.6, 0.6, 0.5, (170, 132, 88)),
    "box02": (0.5, 0.7, 0.5, (170, 132, 88)),
    "box03": (0.7, 0.7, 0.7, (170, 132, 88)),
    "briefcase": (0.15, 0.45, 0.35, (70, 48, 34)),
    "brokentile01": (0.4, 0.4, 0.04, (150, 140, 130)),
    "brokentile02": (0.4, 0.4, 0.04, (150, 140, 130)),
    "brokentile03": (0.4, 0.4, 0.04, (150, 140, 130)),
    "brokentile04": (0.4, 0.4, 0.04, (150, 140, 130)),
    "calibrator": (0.1, 1.2, 1.6, (236, 236, 236)),
    "chainbarrier": (0.1, 2.0, 0.9, (190, 60, 50)),
    "chainbarrierend": (0.1, 0.3, 0.9, (190, 60, 50)),
    "clothcontainer": (1.2, 1.2, 1.9, (48, 92, 140)),
    "clothesline": (0.6, 2.2, 1.7, STEEL),
    "colacan": (0.07, 0.07, 0.12, (200, 30, 36)),
    "constructioncone": (0.4, 0.4, 0.75, (226, 96, 36)),
    "container": (1.1, 1.4, 1.2, (52, 96, 64)),
    "creasedbox01": (0.5, 0.6, 0.35, (164, 128, 86)),
    "creasedbox02": (0.5, 0.6, 0.35, (164, 128, 86)),
    "creasedbox03": (0.5, 0.6, 0.35, (164, 128, 86)),
    "dirtdebris01": (1.4, 1.2, 0.06, (112, 98, 82)),
    "dirtdebris02": (1.6, 1.4, 0.06, (112, 98, 82)),
    "dirtdebris03": (1.2, 1.2, 0.06, (112, 98, 82)),
    "doghouse": (1.0, 0.9, 1.0, WOOD),
    "foodcart": (2.6, 1.6, 2.4, (206, 190, 150)),
    "fountain": (4.0, 4.0, 2.2, (170, 168, 162)),
    "garbage01": (0.5, 0.5, 0.15, (96, 96, 92)),
    "garbage02": (0.5, 0.5, 0.15, (96, 96, 92)),
    "garbage03": (0.6, 0.6, 0.18, (96, 96, 92)),
    "garbage04": (0.6, 0.6, 0.18, (96, 96, 92)),
    "garbage05": (0.7, 0.7, 0.18, (96, 96, 92)),
    "garbage06": (0.7, 0.7, 0.18, (96, 96, 92)),
    "glasscontainer": (1.4, 1.4, 1.7, (54, 110, 80)),
    "gnome": (0.25, 0.25, 0.5, (180, 60, 50)),
    "guitarcase": (0.2, 0.45, 1.1, DARK),
    "haybale": (1.3, 1.3, 1.2, (196, 168, 96)),
    "haybalelb": (1.3, 1.3, 1.2, (196, 168, 96)),
    "ironplank": (1.5, 2.4, 0.03, (120, 110, 104)),
    "kiosk_01": (2.8, 2.4, 2.9, (70, 92, 76)),
    "maptable": (0.4, 1.2, 1.8, (92, 104, 112)),
    "mesh": (1.0, 1.0, 1.0, (150, 150, 150)),
    "mobile": (0.08, 0.15, 0.02, DARK),
    "motorhelmet": (0.35, 0.28, 0.28, DARK),
    "pergola": (3.0, 3.0, 2.5, WOOD),
    "plantpot01": (0.6, 0.6, 0.7, (150, 96, 70)),
    "plantpot02": (0.8, 0.8, 0.9, (150, 96, 70)),
    "plantpot03": (0.5, 1.2, 0.6, (150, 96, 70)),
    "plantpot04": (0.4, 0.4, 0.5, (150, 96, 70)),
    "plantpot05": (0.5, 0.5, 0.6, (150, 96, 70)),
    "plantpot06": (0.5, 0.5, 0.6, (150, 96, 70)),
    "plantpot07": (0.6, 0.6, 0.8, (150, 96, 70)),
    "plantpot08": (0.9, 0.9, 1.0, (150, 96, 70)),
    "plasticbag": (0.3, 0.3, 0.3, (210, 210, 206)),
    "plasticchair": (0.6, 0.6, 0.85, (230, 230, 226)),
    "plastictable": (0.9, 0.9, 0.75, (230, 230, 226)),
    "platformgarbage01": (2.2, 1.6, 0.9, (110, 106, 98)),
    "purse": (0.15, 0.3, 0.25, (120, 40, 50)),
    "shop01": (3.0, 2.4, 2.8, (180, 150, 110)),
    "shoppingbag": (0.2, 0.35, 0.4, (200, 170, 120)),
    "shoppingcart": (1.0, 0.6, 1.0, STEEL),
    "shoppingtrolley": (0.4, 0.4, 1.0, (70, 80, 120)),
    "slide": (3.0, 0.9, 2.0, (200, 70, 50)),
    "streetbarrier": (0.5, 1.6, 1.1, (214, 90, 50)),
    "streetfountain": (0.6, 0.6, 1.1, (96, 104, 104)),
    "swing": (2.2, 3.4, 2.4, STEEL),
    "swingcouch": (1.3, 2.0, 1.7, (120, 140, 110)),
    "table": (0.9, 1.6, 0.75, WOOD),
    "trafficcone01": (0.4, 0.4, 0.75, (226, 96, 36)),
    "trafficcone02": (0.35, 0.35, 0.6, (226, 96, 36)),
    "trampoline": (3.0, 3.0, 0.8, (40, 60, 110)),
    "trashbag": (0.6, 0.6, 0.6, (34, 34, 36)),
    "travelcase": (0.3, 0.5, 0.7, (60, 70, 110)),
    "vendingmachine": (0.9, 1.0, 1.9, (170, 40, 44)),
    "warningaccident": (0.4, 0.6, 0.9, (214, 60, 48)),
    "warningconstruction": (0.5, 1.2, 1.2, (226, 160, 40)),
    "wateringcan": (0.4, 0.2, 0.35, (70, 110, 80)),
}


def block(name: str) -> Mesh:
    """Return the box of a prop in `BOXES`, on the ground; one for advertisements has a poster on either side."""
    length, width, height, colour = BOXES[name]
    solid = box((length, width, height), (0.0, 0.0, height / 2.0), Tag.DYNAMIC, colour)
    if name != "advertisement":
        return solid
    sheets = [
        poster(seed, 0.86 * width, 0.7 * height).moved(x=0.5 * length + 0.005, z=0.24 * height) for seed in (8, 9)
    ]
    sheets = [replace(each, tags=np.full(len(each.tags), Tag.DYNAMIC, np.uint8)) for each in sheets]
    return merge([solid, sheets[0], sheets[1].moved(yaw=180.0)])
