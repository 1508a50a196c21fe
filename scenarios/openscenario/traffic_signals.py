"""OpenSCENARIO's traffic signals as those of a scenario."""

from __future__ import annotations

from typing import Any

from scenarios.openscenario.elements import Element

#: The lamps of a signal from its first one on, by how many it has.
LAMPS = {1: ("green",), 2: ("red", "green"), 3: ("red", "yellow", "green")}


def shown(what: Element) -> dict[str, Any]:
    """What a TrafficSignalStateAction or TrafficSignalCondition is about.

    The signal is named by its id in the map, or as ScenarioRunner does, by where it stands (``pos=x,y``); its state by
    a word, or by a word for each lamp (``on;off;off``).

    Raises:
        ScenarioError: a state that is neither, such as a lamp that flashes.
    """
    state = what.text("state")
    if state.lower() in ("red", "yellow", "green", "off"):
        return {"signal": what.text("name"), "state": state.lower()}
    lamps = [lamp.strip().lower() for lamp in state.split(";")]
    if len(lamps) not in LAMPS or not set(lamps) <= {"on", "off"}:
        raise what.error(f"state {state} is not supported")
    lit = [name for name, lamp in zip(LAMPS[len(lamps)], lamps, strict=True) if lamp == "on"]
    return {"signal": what.text("name"), "state": lit[-1] if lit else "off"}


def set_by(action: Element) -> dict[str, Any]:
    """What an InfrastructureAction makes a signal show. Raises ``ScenarioError``."""
    what = action.get("TrafficSignalAction").one()
    if what.name != "TrafficSignalStateAction":
        raise what.refuse()
    return shown(what)
