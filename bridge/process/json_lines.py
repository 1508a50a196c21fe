"""What a process of ours tells the one that started it: one JSON object a line on its standard output.

``{"step": "..."}`` for what takes long before it, ``{"ready": {...}}`` once it can be used, and ``{"verdict": {...}}``
when a scenario is over. By hand the same is said in words, one line each, but for the steps.
"""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from bridge.process.options import Options


class ProcessOptions(Options):
    """The requests that all our processes understand."""

    with_parent: bool = False
    """End when the process that started this one ends."""
    json_lines: bool = False
    """Say what happens as JSON, one object a line, instead of in words."""

    def tell(self, what: str, facts: Any, words: str, out: TextIO | None = None) -> None:
        """Write ``{what: facts}`` or ``words`` to ``out`` (None: standard output), at once."""
        send(what, facts, out) if self.json_lines else print(words, file=out or sys.stdout, flush=True)

    def step(self, words: str, out: TextIO | None = None) -> None:
        """Tell a parent what is being done before this process is ready."""
        if self.json_lines:
            send("step", words, out)


def send(what: str, facts: Any, out: TextIO | None = None) -> None:
    """Write the message ``{what: facts}``, at once."""
    print(json.dumps({what: facts}), file=out or sys.stdout, flush=True)


def received(line: str) -> dict[str, Any] | None:
    """The message in a line, or None where there is none: libraries write to the standard output, too."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
