"""The keys of a drive and their meanings, for the window and the web page.

They match CARLA's ``manual_control.py`` where that has them.
"""

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
            (("Backspace", "Y"), "respawn; repair"),
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
#: Each action: its name, its title in the menu, and its keys, named as in browsers (``KeyboardEvent.key``), in lower
#: case. Those without a title cannot be bound to other keys.
_TABLE: tuple[tuple[str, ...], ...] = (
    ("throttle", "Throttle", "w", "arrowup"),
    ("brake", "Brake", "s", "arrowdown"),
    ("left", "Steer left", "a", "arrowleft"),
    ("right", "Steer right", "d", "arrowright"),
    ("hand_brake", "Hand brake", " "),
    ("reverse", "Reverse", "q"),
    ("autopilot", "Autopilot", "p"),
    ("horn", "Horn", "n"),
    ("headlamps", "Headlamps", "b"),
    ("respawn", "Respawn", "backspace"),
    ("repair", "Repair", "y"),
    ("indicate_left", "Indicate left", ","),
    ("indicate_right", "Indicate right", "."),
    ("hazard", "Hazard lamps", "x"),
    ("look left", "Look left", "u"),
    ("look back", "Look back", "i"),
    ("look right", "Look right", "o"),
    ("camera", "Next camera", "v"),
    ("map", "Map", "m"),
    ("mirror", "Mirrors", "z"),
    ("dashboard", "Dashboard", "k"),
    ("weather", "Next weather", "c"),
    ("style", "Next style", "t"),
    ("edit", "Edit", "e"),
    ("guide", "Guide", "g"),
    ("pause", "Pause", "f", "pause"),
    ("record", "Record", "r"),
    ("hud", "Hide the HUD", "tab"),
    ("late_warp", "Late warp", "l"),
    ("help", "", "h", "f1"),
    ("screenshot", "", "f12"),
    ("graph", "", "f2"),
    ("skip", "", "enter"),
    ("full_hud", "", "f3"),
    ("fullscreen", "", "f11"),
    ("menu", "", "escape"),
)
#: Action by key.
KEYS: dict[str, str] = {key: action for action, _, *keys in _TABLE for key in keys}
#: The actions that can be bound to other keys, with their titles.
ACTIONS: dict[str, str] = {action: title for action, title, *_ in _TABLE if title}
