"""Translation of OpenSCENARIO's traffic signals."""

from typing import Any

from scenarios.openscenario.elements import Element

#: The lamps of a signal in their order, by their number.
LAMPS = {1: ("green",), 2: ("red", "green"), 3: ("red", "yellow", "green")}


def signal_state(what: Element) -> dict[str, Any]:
    """Return signal and state of a TrafficSignalStateAction or TrafficSignalCondition.

    The signal is named by its id in the map, or, as in ScenarioRunner, by its position (``pos=x,y``); its state by a
    word, or by a word for each lamp (``on;off;off``). Raises ``ScenarioError`` for other states, such as flashing.
    """
    state = what.text("state")
    if state.lower() in ("red", "yellow", "green", "off"):
        return {"signal": what.text("name"), "state": state.lower()}
    lamps = [lamp.strip().lower() for lamp in state.split(";")]
    if len(lamps) not in LAMPS or not set(lamps) <= {"on", "off"}:
        raise what.error(f"state {state} is not supported")
    lit = [name for name, lamp in zip(LAMPS[len(lamps)], lamps, strict=True) if lamp == "on"]
    return {"signal": what.text("name"), "state": lit[-1] if lit else "off"}


def commanded_state(action: Element) -> dict[str, Any]:
    """Return signal and state that an InfrastructureAction sets. Raises ``ScenarioError``."""
    what = action.get("TrafficSignalAction").one()
    if what.name != "TrafficSignalStateAction":
        raise what.refuse()
    return signal_state(what)
