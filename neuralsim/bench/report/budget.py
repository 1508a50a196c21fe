"""``--budget p95=50ms``: limits that a build must not exceed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from neuralsim.session.metrics import STAGES

_QUANTILES = ("p50", "p95", "p99")
_SERIES = {"latency": "latency_ms", "photon": "input_to_photon_ms", "frame": "frame_ms", "upscale": "upscale_ms"}
_SCALARS = {
    "fps": ("at least", ""),
    "displayed_fps": ("at least", ""),
    "dropped": ("at most", ""),
    "jitter": ("at most", " ms"),
    "memory": ("at most", " MB"),
}
_UNITS = {"ms": 1.0, "s": 1000.0, "us": 0.001, "": 1.0, "MB": 1.0, "GB": 1000.0}
_TEXT = re.compile(r"([a-z0-9_.]+)=(\d+(?:\.\d+)?)(ms|us|s|MB|GB|)")

HELP = (
    "NAME=LIMIT of: p50, p95, p99 (capture to display), photon.p95 (input latency), frame.p99, render.p50 and so on "
    f"for each stage ({', '.join(STAGES)}), fps, displayed_fps (at least), dropped, jitter, memory; such as p95=50ms"
)


@dataclass(frozen=True)
class Budget:
    """One limit, which every drive in the report must keep."""

    name: str
    limit: float  # ms, frames per second, frames or MB

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Return the budget of a text such as ``p95=50ms``. Raise ``ValueError`` with the choices for others."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no budget: {HELP}")
        name = match[1]
        series, q = name.split(".", 1) if "." in name else ("latency", name)
        if name not in _SCALARS and (q not in _QUANTILES or series not in (*_SERIES, *STAGES)):
            raise ValueError(f"unknown budget {name!r}: {HELP}")
        is_time = name not in _SCALARS or name == "jitter"
        units = {"ms", "us", "s", ""} if is_time else {"MB", "GB", ""} if name == "memory" else {""}
        if match[3] not in units:
            raise ValueError(f"{text!r}: {name} is not measured in {match[3]}")
        return cls(name, float(match[2]) * _UNITS[match[3]])

    def violations(self, report: dict[str, Any]) -> list[str]:
        """Return one line per drive that exceeds the limit; an unmeasured figure counts as exceeding it."""
        lines = []
        for drive in report["drives"]:
            if "summary" not in drive:
                continue
            where = drive["cell"]["name"]
            bound, unit = _SCALARS.get(self.name, ("at most", " ms"))
            value = self._value(drive["summary"])
            if value is None:
                lines.append(f"budget {self.name}: not measured in {where}")
            elif (value < self.limit) if bound == "at least" else (value > self.limit):
                lines.append(
                    f"budget {self.name}: {value:.2f}{unit}, {bound} {self.limit:g}{unit} required, in {where}"
                )
        return lines or ([] if report["drives"] else [f"budget {self.name}: no drive was measured"])

    def _value(self, summary: dict[str, Any]) -> float | None:
        if self.name == "fps":
            return float(summary["fps"]["value"])
        if self.name == "jitter":
            return float(summary["jitter_ms"])
        if self.name == "memory":
            return summary["memory_mb"].get("all")
        if self.name in _SCALARS:
            return summary.get(self.name)
        series, q = ("latency", self.name) if "." not in self.name else self.name.split(".", 1)
        times = summary.get(_SERIES[series]) if series in _SERIES else summary["stage_ms"][series]
        return float(times[q]) if times and times.get("n", 1) else None
