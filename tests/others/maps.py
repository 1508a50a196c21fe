"""A ring of four roads with a lane and a pavement each way, written in OpenDRIVE's different ways."""

from __future__ import annotations

import math
from collections.abc import Sequence

LANE, PAVEMENT, STRAIGHT, RADIUS = 3.4, 1.8, 240.0, 60.0  # m
UTM = 691_880.0, 5_335_940.0  # m, a place in Munich in zone 32; the ring's middle has hundreds of metres
NAMESPACE = ' xmlns="http://code.asam.net/simulation/standard/opendrive_schema"'
_WIDTH = '<width sOffset="0" a="{}" b="0" c="0" d="0"/>'


def ring(
    *,
    at: tuple[float, float] = (0.0, 0.0),
    header: str = "",
    ids: Sequence[str] = "0123",
    rule: str = "",
    borders: bool = False,
    profile: str = "",
    attributes: str = "",
) -> str:
    """Return the text of the map.

    Args:
        at: Its origin, m.
        header: What is in the header.
        ids: Of its roads.
        rule: ``LHT`` or ``RHT``.
        borders: Whether lanes have borders instead of widths.
        profile: Of each road's height: its ``elevationProfile`` and ``lateralProfile``.
        attributes: Of the root element.
    """
    curve = math.pi * RADIUS
    shapes = [(0.0, 0.0, 0.0, STRAIGHT), (STRAIGHT, 0.0, 0.0, curve)]
    shapes += [(STRAIGHT, 2 * RADIUS, math.pi, STRAIGHT), (0.0, 2 * RADIUS, math.pi, curve)]
    roads = []
    for k, (x, y, heading, length) in enumerate(shapes):
        shape = f'<arc curvature="{1.0 / RADIUS!r}"/>' if k % 2 else "<line/>"
        link = "".join(
            f'<{name} elementType="road" elementId="{ids[(k + step) % 4]}" contactPoint="{end}"/>'
            for name, step, end in (("predecessor", -1, "end"), ("successor", 1, "start"))
        )
        roads.append(
            f'<road name="" length="{length!r}" id="{ids[k]}" junction="-1"{f" rule={rule!r}" if rule else ""}>'
            f'<link>{link}</link><type s="0" type="town"><speed max="50" unit="km/h"/></type><planView>'
            f'<geometry s="0" x="{x + at[0]!r}" y="{y + at[1]!r}" hdg="{heading!r}" length="{length!r}">{shape}'
            f"</geometry></planView>{profile}<lanes><laneSection s='0'><left>{_lanes(1, borders)}</left><center>"
            f'<lane id="0" type="none" level="false"/></center><right>{_lanes(-1, borders)}</right></laneSection>'
            "</lanes></road>"
        )
    head = f'<header revMajor="1" revMinor="6" name="ring" version="1">{header}</header>'
    return f'<?xml version="1.0" encoding="UTF-8"?><OpenDRIVE{attributes}>{head}{"".join(roads)}</OpenDRIVE>'


def _lanes(sign: int, borders: bool) -> str:
    lanes = []
    for number, kind, width, outer in ((1, "driving", LANE, LANE), (2, "sidewalk", PAVEMENT, LANE + PAVEMENT)):
        size = _WIDTH.format(sign * outer).replace("width", "border") if borders else _WIDTH.format(width)
        link = "".join(f'<{name} id="{sign * number}"/>' for name in ("predecessor", "successor"))
        mark = '<roadMark sOffset="0" type="broken" width="0.12"/>'
        lanes.append(f'<lane id="{sign * number}" type="{kind}" level="false"><link>{link}</link>{size}{mark}</lane>')
    return "".join(lanes)


def straight(
    lanes: Sequence[tuple[int, str, float]], *, length: float = 300.0, y: float = 0.0, ident: int = 0, rule: str = ""
) -> str:
    """Return a straight road from x = 0 on, for `opendrive`.

    Args:
        lanes: Id, type and width (m) of each lane; outer edges are solid, others broken.
        length: m.
        y: Of its reference line, m.
        ident: Its id.
        rule: ``LHT`` or ``RHT``.
    """
    sides = []
    for name, sign in (("left", 1), ("right", -1)):
        of_side = sorted((lane for lane in lanes if lane[0] * sign > 0), key=lambda lane: -lane[0])
        last = max((abs(lane[0]) for lane in of_side if lane[1] != "sidewalk"), default=0)
        texts = (
            f'<lane id="{number}" type="{kind}" level="false">{_WIDTH.format(width)}<roadMark sOffset="0" '
            f'type="{"solid" if abs(number) == last else "broken"}" width="0.12"/></lane>'
            for number, kind, width in of_side
        )
        sides.append(f"<{name}>{''.join(texts)}</{name}>")
    centre = '<center><lane id="0" type="none" level="false"><roadMark sOffset="0" type="broken" width="0.12"/></lane>'
    return (
        f'<road name="" length="{length}" id="{ident}" junction="-1"{f" rule={rule!r}" if rule else ""}>'
        '<type s="0" type="town"><speed max="50" unit="km/h"/></type><planView>'
        f'<geometry s="0" x="0" y="{y}" hdg="0" length="{length}"><line/></geometry></planView><lanes>'
        f'<laneSection s="0">{sides[0]}{centre}</center>{sides[1]}</laneSection></lanes></road>'
    )


def opendrive(*roads: str) -> str:
    """Return the text of a map with these roads."""
    return f'<OpenDRIVE><header revMajor="1" revMinor="6" name="" version="1"/>{"".join(roads)}</OpenDRIVE>'
