"""The keys of a drive and their meanings, for the window and the web page.

They match CARLA's ``manual_control.py`` where that has them.
"""

from __future__ import annotations

#: The keys of the single views, in a drive and in a replay.
VIEW_KEYS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("1",), "neural"),
    (("2",), "semantic tags"),
    (("3",), "simulator RGB"),
    (("4",), "depth"),
    (("5",), "motion"),
)

#: The cameras that V cycles through, by ``bridge.messages.Control.camera``, with their titles.
CAMERAS = {"": "Driver's view", "bonnet": "Bonnet", "chase": "Chase camera"}
#: The camera while a key of that action is held.
LOOKS = {"look left": "left", "look back": "back", "look right": "right"}

#: The help overlay: groups of (title, ((keys, meaning), ...)).
HELP: tuple[tuple[str, tuple[tuple[tuple[str, ...], str], ...]], ...] = (
    (
        "Driving",
        (
            (("W", "Up"), "throttle"),
            (("S", "Down"), "brake"),
            (("A", "D", "Left", "Right"), "steer"),
            (("Space",), "hand brake"),
            (("Q",), "reverse on / off"),
            (("N", "X", ",", "."), "horn, hazards, signals"),
            (("B",), "headlamps"),
            (("P",), "autopilot on / off"),
            (("Backspace",), "respawn"),
            (("Return",), "skip the tutorial, close a card"),
        ),
    ),
    (
        "Gamepad or wheel",
        (
            (("Stick", "Wheel"), "steer"),
            (("Triggers", "Pedals"), "throttle, brake"),
            (("A",), "hand brake"),
            (("B",), "reverse"),
            (("X", "Y"), "autopilot, weather"),
            (("Back", "Start"), "respawn, menu"),
        ),
    ),
    (
        "Views",
        (
            *VIEW_KEYS,
            (("6",), "split view; again: tags / RGB"),
            (("Mouse",), "drag the divider"),
            (("V",), "driver, bonnet, chase camera"),
            (("U", "I", "O"), "look left, back, right"),
            (("Z", "K"), "mirrors: rear, all, off; dashboard"),
            (("M",), "map: click a destination"),
        ),
    ),
    (
        "Session",
        (
            (("C",), "next weather; Shift: back"),
            (("T",), "next style, or automatic"),
            (("E",), "edit, e.g. trees for buildings"),
            (("G",), "next guide of the appearance"),
            (("L",), "late warp on / off"),
            (("F", "Pause"), "pause"),
            (("Esc",), "pause and menu"),
            (("Ctrl+Q",), "quit immediately"),
        ),
    ),
    (
        "Window",
        (
            (("R",), "record MP4 and MCAP"),
            (("F12", "Ctrl+S"), "screenshot without HUD"),
            (("Shift+F12",), "screenshot with HUD"),
            (("Tab",), "hide the HUD"),
            (("F3",), "detailed HUD; or click on it"),
            (("F2",), "frame graph"),
            (("F11", "Alt+Enter"), "fullscreen"),
            (("H", "F1"), "this help"),
        ),
    ),
)

#: Actions of held keys: those that drive, and the others.
PEDALS = frozenset({"throttle", "brake", "left", "right", "hand_brake"})
HELD = frozenset({"horn", *LOOKS})
#: Action by key, named as in browsers (``KeyboardEvent.key``), in lower case.
KEYS: dict[str, str] = {
    "w": "throttle", "arrowup": "throttle", "s": "brake", "arrowdown": "brake",
    "a": "left", "arrowleft": "left", "d": "right", "arrowright": "right", " ": "hand_brake",
    "n": "horn", "u": "look left", "i": "look back", "o": "look right",
    "q": "reverse", "p": "autopilot", "c": "weather", "t": "style", "e": "edit", "h": "help", "f1": "help",
    "backspace": "respawn", "r": "record", "f12": "screenshot", "f": "pause", "pause": "pause", "tab": "hud",
    "g": "guide", "f2": "graph", "v": "camera", "m": "map", "z": "mirror",
    "enter": "skip", "f3": "full_hud", "f11": "fullscreen",
    "l": "late_warp", "b": "headlamps", "escape": "menu", "k": "dashboard",
    ",": "indicate_left", ".": "indicate_right", "x": "hazard",
}  # fmt: skip
#: The actions that can be bound to other keys, with their titles.
ACTIONS: dict[str, str] = {
    "throttle": "Throttle", "brake": "Brake", "left": "Steer left", "right": "Steer right", "hand_brake": "Hand brake",
    "reverse": "Reverse", "autopilot": "Autopilot", "horn": "Horn", "headlamps": "Headlamps", "respawn": "Respawn",
    "indicate_left": "Indicate left", "indicate_right": "Indicate right", "hazard": "Hazard lamps",
    "look left": "Look left", "look back": "Look back", "look right": "Look right", "camera": "Next camera",
    "map": "Map", "mirror": "Mirrors", "dashboard": "Dashboard",
    "weather": "Next weather", "style": "Next style", "edit": "Edit", "guide": "Guide",
    "pause": "Pause", "record": "Record", "hud": "Hide the HUD", "late_warp": "Late warp",
}  # fmt: skip
