"""``neuralsim dataset SPEC.yaml --out DIR``: plan the drives of a data set, record them, export them, describe them.

``DIR/scenarios/``: the plan. ``DIR/recordings/NAME/``: each drive. ``DIR/SPLIT/FORMAT/``: the exports.
``DIR/card.json``, ``README.md``, ``samples.jpg``: the data card. Whatever is complete is not made again, so a run that
was interrupted, killed, or stopped by a full disk is continued by the same command, and ends with the same files. A
drive that fails is reported, and the others go on.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.process.settings import SettingsError
from neuralsim.base.failure import fail, reason
from neuralsim.base.progress import ProgressLine
from neuralsim.datagen.data_card import measure, write_card
from neuralsim.datagen.dataset_spec import MERGED, DatasetSpec, Drive, load_spec, plan
from neuralsim.datagen.options import PLANES, DatasetOptions, RecordOptions
from neuralsim.datagen.run import record_missing
from neuralsim.datagen.scripted_drive import ScenarioRecorder, Shared
from neuralsim.recording import RecordingError
from neuralsim.recording.exporting.formats import export, function_of
from scenarios.engine.loader import ScenarioError, load


def run(options: DatasetOptions) -> int:
    """Make or continue a data set; return 1 if something is missing in the end, else 0."""
    try:
        spec = load_spec(options.spec)
        drives = plan(spec, options.spec.parent)
        _write_plan(options, spec, drives)
        print(
            f"{len(drives)} drives, {round(len(drives) * spec.duration * spec.fps)} frames of each camera", flush=True
        )
        if options.plan:
            return 0
        for kind in spec.formats:
            function_of(kind)  # a missing package is reported now rather than after the recording
        return _make(options, spec, drives)
    except (SettingsError, RecordingError, ScenarioError) as error:
        return fail(error)
    except OSError as error:
        return fail(f"cannot write to {options.out}: {reason(error)}: the same command continues")


def _write_plan(options: DatasetOptions, spec: DatasetSpec, drives: Sequence[Drive]) -> None:
    """Write the scenario files. Raises ``RecordingError`` if the folder is that of another data set."""
    folder = options.out / "scenarios"
    known, new = options.out / "spec.json", _spec_json(spec)
    if known.exists() and known.read_text(encoding="utf-8") != new:
        raise RecordingError(f"{options.out} is a data set of another specification; choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    for drive in drives:
        _write(folder / f"{drive.name}.yaml", drive.scenario)
    _write(known, new)


def _spec_json(spec: DatasetSpec) -> str:
    return json.dumps(spec.model_dump(mode="json"), indent=1) + "\n"


def _write(path: Path, text: str) -> None:
    """Write a file, all of it or nothing; one that is the same already stays."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    part = path.with_suffix(f"{path.suffix}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _make(options: DatasetOptions, spec: DatasetSpec, drives: Sequence[Drive]) -> int:
    paths = tuple(options.out / "scenarios" / f"{drive.name}.yaml" for drive in drives)
    record = RecordOptions(
        scenarios=paths, out=options.out / "recordings", planes=tuple(p for p in PLANES if p in spec.planes),
        formats=("mcap",), jobs=1 if options.ray else options.jobs, ray=options.ray, model=options.model,
        runtime=options.runtime,
    )  # fmt: skip
    missing: dict[str, str] = {}
    with Shared() as shared:
        recorders: dict[str, ScenarioRecorder] = {}
        for drive, path in zip(drives, paths, strict=True):
            try:
                recorders[drive.name] = ScenarioRecorder(load(path), record, shared)
            except ScenarioError as error:
                fail(f"{drive.name}: {error}")
        record_missing([*recorders.values()], shared, record, quiet=True)
        if shared.stop:
            return fail("interrupted; the same command continues")
    done: list[tuple[Drive, Path]] = []
    for drive in drives:
        recorder = recorders.get(drive.name)
        if recorder is None or recorder.finished() is None:
            missing[drive.name] = "not recorded"
        else:
            done.append((drive, recorder.folder))
    described = _describe(options, spec, done, missing)
    _merge(options.out, spec, [(drive, folder) for drive, folder in done if drive.name not in missing])
    model = "tags" if "neural" not in spec.planes else record.model_path
    write_card(options.out, json.loads(_spec_json(spec)), model, described, missing)
    print(f"{options.out}: {sum(each['frames'] for each in described)} frames; the data card is README.md")
    return 1 if missing else 0


def _describe(
    options: DatasetOptions, spec: DatasetSpec, done: Sequence[tuple[Drive, Path]], missing: dict[str, str]
) -> list[dict[str, Any]]:
    """Export and measure each drive that is not yet; return the figures of all. ``missing`` gets those that fail."""
    described = []
    progress = ProgressLine(len(done), "drives")
    for k, (drive, folder) in enumerate(done):
        marker = folder / "figures.json"
        recorded = json.loads((folder / "result.json").read_text(encoding="utf-8"))["recorded_as"]
        figures = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else {}
        if figures.get("recorded_as") != recorded:
            try:
                for kind in (kind for kind in spec.formats if kind not in MERGED):
                    _export(folder / "recording.mcap", options.out / drive.split / kind / drive.name, kind)
                figures = measure(folder / "recording.mcap", options.out / "thumbnails" / f"{drive.name}.jpg")
            except RecordingError as error:
                fail(f"{drive.name}: {error}")
                missing[drive.name] = str(error)
                continue
            figures["recorded_as"] = recorded
            _write(marker, json.dumps(figures) + "\n")
        described.append({"name": drive.name, "split": drive.split, **figures})
        progress.show(k + 1, "exported")
    progress.close()
    return described


def _export(recording: Path, target: Path, kind: str) -> None:
    """Export a recording; the folder is there only when it is complete."""
    part = target.with_name(f".{target.name}.part")
    for leftover in (part, target):
        if leftover.exists():
            shutil.rmtree(leftover)
    part.parent.mkdir(parents=True, exist_ok=True)
    export(recording, part, kind)
    os.replace(part, target)


def _merge(out: Path, spec: DatasetSpec, done: Sequence[tuple[Drive, Path]]) -> None:
    """Write the formats that hold all drives of a split, unless they hold them already. Raises ``RecordingError``."""
    for kind in (kind for kind in spec.formats if kind in MERGED):
        for split in spec.splits:
            of_split = [(drive, folder) for drive, folder in done if drive.split == split]
            target, marker = out / split / kind, out / split / f".{kind}.json"
            keys = [(folder / "figures.json").read_text(encoding="utf-8") for _, folder in of_split]
            content = json.dumps([json.loads(key)["sha256"] for key in keys]) + "\n"
            if not of_split or (target.exists() and marker.exists() and marker.read_text(encoding="utf-8") == content):
                continue
            part = target.with_name(f".{kind}.part")
            for leftover in (part, target):
                if leftover.exists():
                    shutil.rmtree(leftover)
            part.parent.mkdir(parents=True, exist_ok=True)
            function_of(kind)([folder / "recording.mcap" for _, folder in of_split], part)
            os.replace(part, target)
            _write(marker, content)
