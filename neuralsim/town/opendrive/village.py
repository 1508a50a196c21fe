"""The village: a high street through hills, lanes off it, and country roads that lead around and back."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from neuralsim.town.opendrive.relief import Hills, follow
from neuralsim.town.opendrive.streets import Street, compose

TALL, WAVE = 40.0, 560.0  # m, size of the hills before the roads tame them
STEEPEST = 0.095

#: Junctions: where they are, metres. 0 and 3 are the ends of the village; 1 and 2 lie on the high street.
PLACES = (
    (-250.0, -10.0), (-88.0, 18.0), (66.0, -14.0), (232.0, 26.0),
    (-4.0, 142.0), (-20.0, -150.0), (20.0, 318.0), (-36.0, -330.0),
)  # fmt: skip

#: Road id -> its junctions, the bends between them (share of the way, metres to the left), limit in km/h, pavement in
#: metres (0: a country road).
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
    """OpenDRIVE of the village. Road ids are the same for every seed; where roads bend and how hills lie differs."""
    nodes = [np.array(place) + rng.uniform(-9.0, 9.0, 2) for place in PLACES]
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
                markings=number not in (3, 4, 5, 6),
                radius=38.0 if pavement else 90.0,
            )
        )
    element = compose(name, streets, rng, lit=0.0, crossed=0.35)
    reach = [max(street.cut[end] for street in streets for end in (0, 1) if street.nodes[end] == n) for n in range(8)]
    follow(element, Hills(TALL, WAVE, [(nodes[n], reach[n] + 6.0) for n in range(8)], rng), STEEPEST)
    return element
