"""``neuralsim render FOLDER``: renders the recordings of CARLA's cameras in a folder, and goes on where it stopped."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bridge.messages import Frame
from neuralsim import zoo
from neuralsim.base.failure import fail, line
from neuralsim.base.log import logger
from neuralsim.base.progress import ProgressLine
from neuralsim.base.shared_options import model_of
from neuralsim.imaging.image_files import ImageError
from neuralsim.offline.options import RenderOptions
from neuralsim.offline.recorded import output
from neuralsim.offline.recorded.clip import Clip, ClipSettings, open_clip
from neuralsim.offline.recorded.clip_renderer import ClipRenderer
from neuralsim.offline.recorded.finder import FoundClip, find
from neuralsim.offline.recorded.frames import FrameMaker
from neuralsim.offline.recorded.output import Output
from neuralsim.offline.recorded.planes import Notes, PlaneReader, Planes
from neuralsim.offline.recorded.scene_look import find_bonnet, guess_weather, light_name
from neuralsim.offline.render_folder import resize_image
from neuralsim.recording import RecordingError
from neuralsim.renderer.neural_renderer import RuntimeUnavailable
from neuralsim.renderer.remap import Remap

_FPS = 20.0  # of a recording that does not tell
_PREROLL = 8  # frames that are rendered again after an interruption, so that the next one has a past
_METERED = 5  # frames that a clip's exposure is taken from
#: Options that may differ when a command is repeated to go on.
_FREE = {"out", "gpu", "runtime"}

_EXPECTED = (ImageError, zoo.ModelError, RuntimeUnavailable, RecordingError)


def run(options: RenderOptions) -> int:
    """Render a folder; returns the exit code, 1 also if something could not be rendered, or not as it should.

    Problems are one line each on stderr.
    """
    try:
        return _run(options)
    except _EXPECTED as error:
        return fail(error)


def _run(options: RenderOptions) -> int:
    problems: list[str] = []
    clips = _open_clips(options, problems)
    for problem in problems:
        logger().warning(line(problem))
    if not clips:
        return 1
    output.begin(options.out, options.model_dump(mode="json", exclude=_FREE, exclude_unset=True))
    renderer = ClipRenderer(_model(options, clips), options.runtime, pixels=options.paint and options.paint.pixels)
    renderer.set_remap(Remap.parse(options.remap or ""))
    total = sum(len(clip) for clip in clips)
    progress = _Progress(total)
    count = 0
    try:
        for clip in clips:
            notes = Notes()
            count += _Rendering(options, clip, notes).run(renderer, progress)
            for problem in (*clip.problems, *notes.lines):
                progress.say(problem)
                problems.append(problem)
    finally:
        progress.close()
    skipped = total - count
    print(f"{options.out}: {count} images" + (f", {skipped} skipped" if skipped else ""))
    return 1 if problems else 0


def _open_clips(options: RenderOptions, problems: list[str]) -> list[Clip]:
    """Return the clips that can be rendered; what is wrong with others is added to ``problems``.

    Raises ImageError where none can be for a single reason.
    """
    found = {clip.key: clip for clip in find(options.labels, options.out)}
    for kind in ("rgb", "tags", "depth", "instances", "flow", "motion"):
        place: Path | None = getattr(options, kind)
        if place is not None:
            _replace(found, kind, find(place, options.out, kind), place)
    settings = ClipSettings(
        options.fov if "fov" in options.model_fields_set else None,
        options.ids if options.ids != "auto" else None,
        options.depth_step,
        options.poses,
    )
    clips = []
    for each in found.values():
        try:
            clip = open_clip(each, settings)
        except ImageError as error:
            if len(found) == 1:
                raise
            problems.append(f"{error}: skipped")
            continue
        clip.is_motion_estimated = options.motion is not None
        clips.append(clip)
    return clips


def _model(options: RenderOptions, clips: list[Clip]) -> str:
    """Return the model to render with: unless one is chosen, that for any simulator's picture where all clips have
    pictures. The embedded town's, whose export tells the weather, are for the model that knows the town."""
    has_pictures = all("rgb" in clip.sources and (clip.poses is None or not clip.poses.weather) for clip in clips)
    if options.model_fields_set.isdisjoint({"model", "quality"}) and has_pictures and zoo.GUIDED in zoo.names():
        return zoo.GUIDED
    return model_of(options.model, options.quality)


def _replace(found: dict[str, FoundClip], kind: str, given: list[FoundClip], place: Path) -> None:
    """Use the planes that the user has named, in each clip of the same key. Raises ImageError for other clips."""
    by_key = {clip.key: clip.planes[kind] for clip in given}
    if len(by_key) == 1 and len(found) == 1:
        next(iter(found.values())).planes[kind] = next(iter(by_key.values()))
        return
    for key, plane in by_key.items():
        if key not in found:
            clips = ", ".join(sorted(found)[:4])
            raise ImageError(
                f"{place}: {key or place.name} belongs to none of the clips {clips}; render them one by one"
            )
        found[key].planes[kind] = plane


class _Progress:
    """The progress line of all clips; frames that are there already take no time."""

    def __init__(self, total: int) -> None:
        self._line = ProgressLine(total)
        self._begun = time.monotonic()
        self._done = self._rendered = 0

    def count(self, rendered: bool) -> None:
        """Count a frame, ``rendered`` or there already."""
        self._done += 1
        self._rendered += rendered
        self._line.count(self._done, self._rendered / max(1e-6, time.monotonic() - self._begun))

    def say(self, problem: str) -> None:
        """Log a line without tearing the progress line."""
        self._line.close()
        logger().warning(line(problem))

    def close(self) -> None:
        """Erase the line."""
        self._line.close()


class _Rendering:
    def __init__(self, options: RenderOptions, clip: Clip, notes: Notes) -> None:
        self._options, self._clip, self._notes = options, clip, notes
        fps = options.fps if "fps" in options.model_fields_set else _rate_of(clip)
        name = clip.key.replace("/", "_") or options.labels.resolve().stem
        self._output = Output(options.out, clip.key, name, options.formats, options.compare, fps)
        weather = dict(clip.poses.weather) if clip.poses else {}
        if options.weather:
            from bridge.carla_client.weather import preset_values  # carla: imported only where it is needed

            weather = preset_values(options.weather)
        self._weather, self._fps = weather, fps
        self._reader = PlaneReader(clip, options.size, notes)
        self._is_light_known = bool(weather or options.style)
        self._lights: Counter[str] = Counter()  # guessed from the pictures, scenes by their names
        self._bonnet: np.ndarray | None = None  # f32 (H, W), 0..1
        self._bonnets = 0  # scenes with one

    def run(self, renderer: ClipRenderer, progress: _Progress) -> int:
        """Render the frames that are not there yet; return how many are there in the end."""
        clip = self._clip
        maker = self._maker()
        todo = self._todo()
        try:
            if any(todo):
                renderer.set_style(self._options.style or renderer.card.default_style)
                if self._weather and not self._options.style:
                    renderer.follow(self._weather)
            metered = range(0)
            begins = True
            for frame in range(len(clip)):
                written = self._output.is_written(clip.stems[frame])
                if todo[frame]:
                    if frame not in metered:
                        metered = clip.scene(frame)
                        self._look(metered, renderer)
                        maker.weather = self._weather
                        renderer.meter(self._metered(metered))
                    begins = self._render(renderer, maker, frame, begins)
                else:
                    begins = True
                progress.count(rendered=not written)
            files = self._output.finish(clip.stems)
        finally:
            clip.close()
        self._report(maker, files)
        return sum(self._output.is_written(stem) for stem in clip.stems)

    def _look(self, scene: range, renderer: ClipRenderer) -> None:
        """Take from some of a scene's pictures what nothing else tells: the light, and where the own bonnet is."""
        if "rgb" not in self._clip.sources:
            return
        pictures = [planes for _, planes in self._sampled(scene)]
        self._bonnet = find_bonnet(pictures)
        self._bonnets += self._bonnet is not None
        if self._is_light_known:
            return
        self._weather = guess_weather(pictures)
        renderer.set_style(renderer.card.default_style)
        if self._weather:
            self._lights[light_name(self._weather)] += 1
            renderer.follow(self._weather)

    def _maker(self) -> FrameMaker:
        return FrameMaker(self._clip, self._fps, self._weather, self._options.weather)

    def _todo(self) -> list[bool]:
        """Return which frames are to be rendered: those that are not written, and some before them as their past."""
        written = [self._output.is_written(stem) for stem in self._clip.stems]
        todo = [not each for each in written]
        if self._options.frame_by_frame:
            return todo
        for frame, missing in enumerate(list(todo)):
            if missing and (not frame or written[frame - 1]):
                for before in range(frame - 1, max(frame - _PREROLL, 0) - 1, -1):
                    if before + 1 in self._clip.begins:
                        break
                    todo[before] = True
        return todo

    def _metered(self, scene: range) -> Iterator[Frame]:
        """Yield frames that a scene's exposure is taken from; those that cannot be read are left out."""
        maker = self._maker()
        if "rgb" in self._clip.sources:
            for frame, planes in self._sampled(scene):
                yield maker.make(frame, planes, begins=True)

    def _sampled(self, scene: range) -> Iterator[tuple[int, Planes]]:
        """Yield some frames of a scene, numbers and planes; those that cannot be read are left out."""
        reader = PlaneReader(self._clip, self._options.size, Notes())
        for frame in np.unique(np.linspace(scene[0], scene[-1], _METERED).astype(int)).tolist():
            with contextlib.suppress(ImageError):
                yield frame, reader.read(frame)

    def _render(self, renderer: ClipRenderer, maker: FrameMaker, frame: int, begins: bool) -> bool:
        """Render a frame and write it unless it is there; return whether the next one begins anew."""
        clip, stem = self._clip, self._clip.stems[frame]
        try:
            planes = self._reader.read(frame)
        except ImageError as error:
            self._notes.lines.append(f"{error}: skipped")
            return True
        begins = begins or frame in clip.begins or self._options.frame_by_frame
        image = renderer.render(maker.make(frame, planes, begins))
        if not self._output.is_written(stem):
            self._write(stem, image, planes)
        return False

    def _write(self, stem: str, image: np.ndarray, planes: Planes) -> None:
        if self._bonnet is not None and planes.rgb is not None and self._bonnet.shape == image.shape[:2]:
            kept = self._bonnet[..., None]
            image = np.rint(image + kept * (planes.rgb - image.astype(np.float32))).astype(np.uint8)
        self._output.write(stem, resize_image(image, planes.full), planes.rgb, planes.tag)

    def _report(self, maker: FrameMaker, files: list[Path]) -> None:
        clip, notes = self._clip, self._notes
        name = clip.key or str(self._options.labels)
        print(f"{name}: {len(clip)} frames; {clip.describe()}")
        if notes.frames and notes.doubtful > 0.0:
            print(
                f"{name}: {notes.doubtful / notes.frames:.2%} of the tags were doubtful and taken from their neighbours"
            )
        for light, scenes in self._lights.items():
            print(f"{name}: the sky in the pictures shows {light} ({scenes} scenes); --weather says another light")
        if self._bonnets:
            print(f"{name}: the recording car's own bonnet is left as it is")
        sources = ", ".join(f"{source} ({count})" for source, count in maker.sources.most_common())
        if sources:
            print(f"{name}: motion from {sources}")
        for file in files:
            print(file)


def _rate_of(clip: Clip) -> float:
    """Return the frames per second that the times of the poses give, else a usual one."""
    if not clip.has_times or len(clip) < 2:
        return _FPS
    times = [clip.time(frame, _FPS) for frame in range(len(clip))]
    step = float(np.median(np.diff(times)))
    return float(np.clip(1.0 / step, 1.0, 240.0)) if step > 0.0 else _FPS
