"""The keys of a drive and what they mean, for what reads them: the window, or a page in a browser.

They are those of CARLA's ``manual_control.py`` where that has them.
"""

from __future__ import annotations

#: The keys of the single views, here and in a replay.
VIEW_KEYS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("1",), "neural"),
    (("2",), "semantic tags"),
    (("3",), "simulator RGB"),
    (("4",), "depth"),
    (("5",), "motion"),
)

#: The cameras that V goes through, by ``bridge.messages.Control.camera``, and what they are called.
CAMERAS = {"": "Driver's seat", "bonnet": "Bonnet", "chase": "Chase camera"}
#: Where the driver looks while a key of that meaning is held.
LOOKS = {"look left": "left", "look back": "back", "look right": "right"}

#: What the help overlay shows: groups of (title, ((keys, meaning), ...)).
HELP: tuple[tuple[str, tuple[tuple[tuple[str, ...], str], ...]], ...] = (
    (
        "Driving",
        (
            (("W", "Up"), "throttle"),
            (("S", "Down"), "brake"),
            (("A", "D", "Left", "Right"), "steer"),
            (("Space",), "hand brake"),
            (("Q",), "reverse on / off"),
            (("N",), "horn"),
            (("P",), "autopilot on / off"),
            (("Backspace",), "respawn"),
            (("Return",), "skip the first steps"),
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
            (("6",), "split; again: tags / RGB"),
            (("Mouse",), "drag the divider"),
            (("V",), "seat, bonnet, chase camera"),
            (("U", "I", "O"), "look left, back, right"),
            (("Z",), "rear mirror on / off"),
            (("M",), "map: click where to go"),
        ),
    ),
    (
        "Session",
        (
            (("C",), "next weather"),
            (("T",), "next style, or the weather's"),
            (("E",), "edit: trees for buildings ..."),
            (("G",), "guide: whose look is painted"),
            (("L",), "late warp on / off"),
            (("F", "Pause"), "pause"),
            (("Esc",), "pause and menu"),
            (("Ctrl+Q",), "quit at once"),
        ),
    ),
    (
        "Window",
        (
            (("R",), "record all: MP4 and MCAP"),
            (("F12", "Ctrl+S"), "screenshot without HUD"),
            (("Shift+F12",), "screenshot as it is"),
            (("Tab",), "hide the HUD"),
            (("F3",), "HUD in full; or click on it"),
            (("F2",), "frame graph"),
            (("F11", "Alt+Enter"), "fullscreen"),
            (("H", "F1"), "this help"),
        ),
    ),
)

#: Actions that drive while they are held, and such as last otherwise.
PEDALS = frozenset({"throttle", "brake", "left", "right", "hand_brake"})
HELD = frozenset({"horn", *LOOKS})
#: Action by key, in the words that browsers have for keys (``KeyboardEvent.key``), in small letters.
KEYS: dict[str, str] = {
    "w": "throttle", "arrowup": "throttle", "s": "brake", "arrowdown": "brake",
    "a": "left", "arrowleft": "left", "d": "right", "arrowright": "right", " ": "hand_brake",
    "n": "horn", "u": "look left", "i": "look back", "o": "look right",
    "q": "reverse", "p": "autopilot", "c": "weather", "t": "style", "e": "edit", "h": "help", "f1": "help",
    "backspace": "respawn", "r": "record", "f12": "screenshot", "f": "pause", "pause": "pause", "tab": "hud",
    "g": "guide", "f2": "graph", "v": "camera", "m": "map", "z": "mirror",
    "enter": "skip", "f3": "full_hud", "f11": "fullscreen",
    "l": "late_warp", "escape": "menu",
}  # fmt: skip
#: What can be bound to another key: by the words of the tables above, what it is called.
ACTIONS: dict[str, str] = {
    "throttle": "Throttle", "brake": "Brake", "left": "Steer left", "right": "Steer right", "hand_brake": "Hand brake",
    "reverse": "Reverse", "autopilot": "Autopilot", "horn": "Horn", "respawn": "Respawn",
    "look left": "Look left", "look back": "Look back", "look right": "Look right", "camera": "Next camera",
    "map": "Map", "mirror": "Rear mirror",
    "weather": "Next weather", "style": "Next style", "edit": "Edit", "guide": "Guide",
    "pause": "Pause", "record": "Record", "hud": "Hide the HUD", "late_warp": "Late warp",
}  # fmt: skip
