"""Play and record one scenario in lockstep through the real bridge and link, every frame exactly once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from bridge.size import Size
from neuralsim import __version__
from neuralsim.base.failure import reason
from neuralsim.base.machine import host
from neuralsim.datagen.options import PLANES, RecordOptions
from neuralsim.datagen.report.track import Track
from neuralsim.drive.drive_loop import EXPECTED as DRIVE_EXPECTED
from neuralsim.recording import RecordingError
from neuralsim.recording.writing.mcap_writer import McapWriter
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.renderer.remap import Remap
from neuralsim.session.child_options import RENDER_PLANES
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.options import TAGS, DriveOptions
from neuralsim.session.processes import Templates
from neuralsim.session.render_loop import RenderedFrame
from scenarios.engine.loader import LoadedScenario, ScenarioError


class RecordingInterrupted(RuntimeError):
    """The user has interrupted the recording; what was written so far stays."""


@dataclass
class Shared:
    """State shared by the recorders of one call, and the processes that theirs are forked from; a context manager."""

    frames: int = 0
    stop: bool = False
    templates: Templates = field(default_factory=Templates)

    def end(self) -> None:
        """Stop all recorders; their files stay readable."""
        self.stop = True

    def __enter__(self) -> Shared:
        return self

    def __exit__(self, *_: object) -> None:
        self.templates.close()


class ScenarioRecorder:
    """Records one scenario into ``options.out/<stem>/``."""

    def __init__(self, loaded: LoadedScenario, options: RecordOptions, shared: Shared) -> None:
        self.loaded, self.options = loaded, options
        self.folder = options.out / loaded.id
        self.phase = ""  # activity before and after the frames, "" while frames come
        self._shared = shared
        self._tags = hashlib.sha256()
        self._frames = 0
        self._mcap: McapWriter | None = None
        self._mp4: Mp4Writer | None = None
        self._track = Track(loaded.scenario.asserts)
        self._poster: np.ndarray | None = None  # u8 (H, W, 3) RGB

    @property
    def size(self) -> Size:
        """Size of the images."""
        return self.options.size or self.loaded.scenario.camera.size

    @property
    def remap(self) -> Remap:
        """Classes that are rendered as others."""
        text = self.options.remap
        return Remap.of(self.loaded.scenario.remap) if text is None else Remap.parse(text)

    @property
    def digest(self) -> str:
        """SHA-256 of everything that determines the recording: the scenario and the options."""
        options = self.options
        rendering = options.model_path, options.runtime, options.style, options.guide, options.dashcam
        model = rendering if options.has_neural else TAGS
        settings = (
            self.loaded.digest, self.size, options.planes, options.formats, options.carla, model, str(self.remap),
            __version__,
        )  # fmt: skip
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def finished(self) -> dict[str, Any] | None:
        """Return the result of an earlier call with the same digest whose files all exist; else None."""
        try:
            result = json.loads((self.folder / "result.json").read_text(encoding="utf-8"))
            is_complete = result["recorded_as"] == self.digest and all(
                (self.folder / f).exists() for f in result["files"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return result if is_complete else None

    def record(self) -> dict[str, Any]:
        """Record, and write ``result.json`` last. Raises one of ``EXPECTED``."""
        if self._shared.stop:  # before it began
            raise RecordingInterrupted("interrupted")
        self._clear()
        session = DriveSession(self._drive_options(), templates=self._shared.templates)
        begun = 0.0
        try:
            session.start()
            while True:
                if self._shared.stop:
                    raise RecordingInterrupted("interrupted")
                rendered = session.take(0.1)
                if rendered is not None:
                    begun = begun or time.monotonic()
                    self.phase = ""
                    self._add(rendered, session)
                elif session.error is not None:
                    raise session.error
                elif session.verdict:
                    break
                if not begun:
                    self.phase = session.doing or ", ".join(name for name, done in session.steps.items() if not done)
            self.phase = "writing the rest"
        finally:
            session.stop()
            self._close()
        seconds = time.monotonic() - begun
        self._check_writers()
        files = [name for name, writer in (("recording.mcap", self._mcap), ("video.mp4", self._mp4)) if writer]
        if "frames" in self.options.formats:
            from neuralsim.recording.image_folder import export_frames  # what it imports is not needed to record

            self.phase = "exporting images"
            export_frames(self.folder / "recording.mcap", self.folder / "frames")
            files.append("frames/index.jsonl")
            if "mcap" not in self.options.formats:
                (self.folder / "recording.mcap").unlink()
                files.remove("recording.mcap")
        result = self._result(session.verdict, session, seconds, files)
        if "mp4" in self.options.formats:
            self._write_report(result)
        self._write_result(result)
        return result

    def _drive_options(self) -> DriveOptions:
        scenario, options = self.loaded.scenario, self.options
        planes = {*options.planes, "tag", *((*RENDER_PLANES, "rgb") if options.has_neural else ())}
        return DriveOptions(
            carla=options.carla,
            model=options.model_path if options.has_neural else TAGS,
            runtime=options.runtime,
            style=options.style,
            remap=str(self.remap),
            guide=options.guide,
            dashcam=options.dashcam,
            size=self.size,
            town=self.loaded.town,
            seed=scenario.seed,
            vehicles=scenario.traffic.vehicles,
            walkers=scenario.traffic.walkers,
            fps=scenario.fps,
            headless=True,
            scenario=self.loaded.path,
            rig=options.rig,
            planes=tuple(plane for plane in PLANES if plane in planes and plane != "neural"),
        )

    def _clear(self) -> None:
        """Delete an earlier recording, its result first: an incomplete recording has none."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in ("result.json", "recording.mcap", "video.mp4", "report.html", "poster.jpg"):
                (self.folder / name).unlink(missing_ok=True)
            if (self.folder / "frames").exists():
                shutil.rmtree(self.folder / "frames")
        except OSError as error:
            raise RecordingError(f"cannot write to {self.folder}: {(error.strerror or 'unknown').lower()}") from None

    def _add(self, rendered: RenderedFrame, session: DriveSession) -> None:
        frame = rendered.frame
        if self._mcap is None and self._mp4 is None:
            self._open(session)
        neural = rendered.neural if self.options.has_neural else None
        self._tags.update(frame.planes["tag"].data)
        if self._mcap is not None and not self._mcap.write(frame, neural):
            raise RecordingError(self._mcap.error or f"recording to {self._mcap.path} stopped")
        if frame.view:
            return  # a further camera; the first camera's frame is still to come
        if self._mp4 is not None and not self._mp4.write(rendered.neural, frame.sim_time):
            raise RecordingError(self._mp4.error or f"recording to {self._mp4.path} stopped")
        if self._frames in (0, self.loaded.scenario.frames // 2):
            self._poster = rendered.neural.copy()
        self._track.add(frame)
        self._frames += 1
        self._shared.frames += 1

    def _open(self, session: DriveSession) -> None:
        loaded, formats = self.loaded, self.options.formats
        if "mcap" in formats or "frames" in formats:
            about = {
                "scenario": loaded.id,
                "scenario_yaml": loaded.text,
                "seed": str(loaded.scenario.seed),
                "fps": f"{loaded.scenario.fps:g}",
                "model": session.model,
                "style": self.options.style or "",
                "remap": str(self.remap),
                "dashcam": str(self.options.dashcam).lower(),
                "neuralsim": __version__,
            }
            views = [camera.name for camera in loaded.scenario.cameras]
            self._mcap = McapWriter(self.folder / "recording.mcap", self.options.planes, about, loaded.files, views)
        if "mp4" in formats:
            path = self.folder / "video.mp4"
            self._mp4 = Mp4Writer(path, self.size, rate=loaded.scenario.fps, block=True)

    def _close(self) -> None:
        for writer in (self._mcap, self._mp4):
            if writer is not None:
                writer.close()

    def _check_writers(self) -> None:
        for writer in (self._mcap, self._mp4):
            if writer is not None and writer.error is not None:
                raise RecordingError(writer.error)

    def _write_report(self, result: dict[str, Any]) -> None:
        """Write ``report.html`` with its poster. Raises ``RecordingError``."""
        from neuralsim.datagen.report.page import write_report  # its templates are not needed to record

        scenario = self.loaded.scenario
        try:
            if self._poster is not None:
                done, data = cv2.imencode(".jpg", self._poster[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
                assert done
                (self.folder / "poster.jpg").write_bytes(data.tobytes())
            write_report(self.folder / "report.html", scenario.title, scenario.description, result, self._track)
        except OSError as error:
            raise RecordingError(f"cannot write the report of {self.loaded.id}: {reason(error)}") from None

    def _result(
        self, verdict: dict[str, Any], session: DriveSession, seconds: float, files: list[str]
    ) -> dict[str, Any]:
        return {
            **verdict,
            "frames": self._frames,
            "seconds": round(seconds, 3),
            "fps": round(self._frames / seconds, 2) if seconds > 0.0 else 0.0,
            "tag_sha256": self._tags.hexdigest(),
            "seed": self.loaded.scenario.seed,
            "size": str(self.size),
            "planes": list(self.options.planes),
            "model": session.model,
            "runtime": session.runtime,
            "style": self.options.style or "",
            "remap": str(self.remap),
            "dashcam": self.options.dashcam,
            "host": host(),
            "files": files,
            "recorded_as": self.digest,
        }

    def _write_result(self, result: dict[str, Any]) -> None:
        path = self.folder / "result.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        os.replace(part, path)


#: Errors that are reported in one line.
EXPECTED: tuple[type[BaseException], ...] = (*DRIVE_EXPECTED, ScenarioError, RecordingInterrupted)
