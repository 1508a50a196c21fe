"""The village: a high street through hills, side streets, and country roads that lead around it and back."""

import xml.etree.ElementTree as ET

import numpy as np

from neuralsim.town.opendrive.relief import Hills, apply_elevation
from neuralsim.town.opendrive.streets import Street, compose

HILL_HEIGHT, WAVELENGTH = 40.0, 560.0  # m, of the hills before they are scaled down for the roads
MAX_SLOPE = 0.095

#: Positions of the junctions, metres. 0 and 3 are the ends of the village; 1 and 2 are on the high street.
JUNCTIONS = (
    (-250.0, -10.0), (-88.0, 18.0), (66.0, -14.0), (232.0, 26.0),
    (-4.0, 142.0), (-20.0, -150.0), (20.0, 318.0), (-36.0, -330.0),
)  # fmt: skip

#: By road id: its junctions, the bends between them (share of the length, metres to the left), speed limit in km/h,
#: width of the pavement in metres (0: a country road).
ROADS = (
    ((0, 1), ((0.5, 9.0),), 50, 1.8),
    ((1, 2), ((0.45, -7.0),), 30, 2.2),
    ((2, 3), ((0.4, 8.0), (0.75, -5.0)), 50, 1.8),
    ((1, 4), ((0.5, 12.0),), 30, 1.4),
    ((4, 2), ((0.5, 14.0),), 30, 1.4),
    ((1, 5), ((0.55, -12.0),), 30, 1.4),
    ((5, 2), ((0.45, -16.0),), 30, 1.4),
    ((4, 6), ((0.3, 10.0), (0.7, -12.0)), 70, 0.0),
    ((5, 7), ((0.3, -12.0), (0.7, 9.0)), 70, 0.0),
    ((0, 6), ((0.2, 62.0), (0.5, 88.0), (0.8, 40.0)), 80, 0.0),
    ((6, 3), ((0.25, 30.0), (0.55, 84.0), (0.82, 62.0)), 80, 0.0),
    ((0, 7), ((0.2, -48.0), (0.5, -92.0), (0.8, -44.0)), 80, 0.0),
    ((7, 3), ((0.2, -34.0), (0.5, -88.0), (0.8, -66.0)), 80, 0.0),
)


def village(name: str, rng: np.random.Generator) -> ET.Element:
    """Return the village as OpenDRIVE. Road ids are the same for every seed; the bends and hills differ."""
    nodes = [np.array(place) + rng.uniform(-9.0, 9.0, 2) for place in JUNCTIONS]
    streets = []
    for number, ((start, stop), bends, speed, pavement) in enumerate(ROADS):
        a, b = nodes[start], nodes[stop]
        way = b - a
        left = np.array([-way[1], way[0]]) / np.linalg.norm(way)
        inner = [a + way * share + left * aside * rng.uniform(0.8, 1.2) for share, aside in bends]
        streets.append(
            Street(
                id=number,
                nodes=(start, stop),
                points=[a, *inner, b],
                lanes=1,
                parking=(False, number == 1),
                pavement=pavement,
                speed=speed,
                has_markings=number not in (3, 4, 5, 6),
                radius=38.0 if pavement else 90.0,
            )
        )
    element = compose(name, streets, rng, signal_share=0.0, crosswalk_share=0.35)
    reach = [max(street.cut[end] for street in streets for end in (0, 1) if street.nodes[end] == n) for n in range(8)]
    apply_elevation(
        element, Hills(HILL_HEIGHT, WAVELENGTH, [(nodes[n], reach[n] + 6.0) for n in range(8)], rng), MAX_SLOPE
    )
    return element
