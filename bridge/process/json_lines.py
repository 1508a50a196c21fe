"""Messages from a child process to its parent: one JSON object per line on the standard output.

``{"step": "..."}`` before a lengthy step of the startup, ``{"ready": {...}}`` once the process can be used, and
``{"verdict": {...}}`` when a scenario has ended. Started by hand, a process prints the last two as lines of text.
"""

import json
import sys
from typing import Any, TextIO

from bridge.process.options import Options


class ProcessOptions(Options):
    """Options that all processes of this project have in common."""

    with_parent: bool = False
    """End when the process that started this one ends."""
    json_lines: bool = False
    """Report events as JSON, one object per line, instead of text."""

    def announce(self, event: str, data: Any, text: str, out: TextIO | None = None) -> None:
        """Write ``{event: data}`` or ``text`` to ``out`` (None: standard output), and flush."""
        send(event, data, out) if self.json_lines else print(text, file=out or sys.stdout, flush=True)

    def announce_step(self, text: str, out: TextIO | None = None) -> None:
        """Report the current startup step to the parent; nothing without ``json_lines``."""
        if self.json_lines:
            send("step", text, out)


def send(event: str, data: Any, out: TextIO | None = None) -> None:
    """Write the message ``{event: data}``, and flush."""
    print(json.dumps({event: data}), file=out or sys.stdout, flush=True)


def parse_message(line: str) -> dict[str, Any] | None:
    """Return the message in a line, or None if it is not one: libraries write to the standard output, too."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
