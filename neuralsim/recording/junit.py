"""Write evaluations as JUnit XML for continuous integration: a suite per recording, a case per check."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from neuralsim.base.failure import reason
from neuralsim.recording import RecordingError
from neuralsim.recording.evaluate import Check, Evaluation


def write_junit(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Write ``path``; a check without requirement is a property, not a case. Raises :class:`RecordingError`."""
    suites = ET.Element("testsuites", name="neuralsim")
    totals = [0, 0]
    for each in evaluations:
        cases = [check for check in each.checks if check.passed is not None]
        failed = sum(not check.passed for check in cases)
        totals = [totals[0] + len(cases), totals[1] + failed]
        suite = ET.SubElement(
            suites, "testsuite", name=each.scenario, tests=str(len(cases)), failures=str(failed), errors="0",
            time=f"{each.seconds:.3f}",
        )  # fmt: skip
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="recording", value=each.recording)
        for check in each.checks:
            if check.passed is None and check.value is not None:
                ET.SubElement(properties, "property", name=check.name, value=f"{check.value:.4g}")
        for check in cases:
            case = ET.SubElement(suite, "testcase", classname=each.scenario, name=check.name, time="0")
            if not check.passed:
                ET.SubElement(case, "failure", message=describe(check), type="assertion")
    suites.set("tests", str(totals[0]))
    suites.set("failures", str(totals[1]))
    ET.indent(suites)
    _write(path, ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n")


def write_json(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Write ``path``: a list with an object per recording. Raises :class:`RecordingError`."""
    _write(path, json.dumps([each.as_json() for each in evaluations], indent=2) + "\n")


def describe(check: Check) -> str:
    """Return a check as text: its value, limit and note."""
    value = "none" if check.value is None else f"{check.value:.4g}"
    limit = f", limit {check.limit:.4g}" if check.limit is not None else ""
    return f"{value}{limit}{' ' if check.note else ''}{check.note}"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {reason(error)}") from None
