"""What kind of machine this is."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu() -> tuple[str, set[str]]:
    """The processor's name and what it can do, in the kernel's words."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            elif name.strip() == "flags":
                flags = set(value.split())
                break
    except OSError:
        pass  # not Linux
    return model, flags
