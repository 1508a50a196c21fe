"""The replay's window: scrub, step, change speed, render again, compare two models, drive on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from neuralsim.window.window import Window, WindowError  # isort: skip (before pygame: it prepares SDL)

import pygame

from bridge.process.settings import SettingsError
from neuralsim import zoo
from neuralsim.base.log import logger
from neuralsim.drive import settings
from neuralsim.drive.interactive_drive import HudState
from neuralsim.recording import RecordingError
from neuralsim.recording.drive_track import known_events, with_events
from neuralsim.recording.holes import holes
from neuralsim.recording.reading.random_access_reader import DamagedChunk, RecordingReader, frame_of
from neuralsim.renderer.neural_renderer import ModelError, RuntimeUnavailable
from neuralsim.renderer.remap import Remap, next_remap
from neuralsim.renderer.views import NAMES, View
from neuralsim.replay.drive_on import obstacle
from neuralsim.replay.options import RECORDED, ReplayOptions
from neuralsim.replay.recording_renderer import BRIDGED, PREROLL, RecordingRenderer, default_model, recorded_remap
from neuralsim.replay.renderer_pool import RendererPool, Selection
from neuralsim.replay.replay_hud import FIRST_KEYS, ReplayHud
from neuralsim.replay.track_loaders import RunLoader, TrackLoader
from neuralsim.session.options import TAGS
from neuralsim.session.render_loop import DriveError
from neuralsim.window.film import sharpened
from neuralsim.window.overlay_cards import Loading

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_WAIT = 30  # ms between polls of the keys while paused
_REDRAW = 0.1  # s between drawings while paused: notices fade
_LOAD_ERRORS = (RecordingError, ModelError, RuntimeUnavailable)


class ReplayWindow(Window):
    """The driving window; its split view may show a second model on the right."""

    hud: ReplayHud

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(size, title="NeuralSim replay")
        self.hud = ReplayHud()
        self.other: tuple[str, np.ndarray] | None = None  # name and image of the model to compare with

    @property
    def is_comparing(self) -> bool:
        return self.other is not None

    @property
    def title_of_view(self) -> str:
        if self.view == View.SPLIT and self.other is not None:
            return f"{NAMES[View.NEURAL]}  |  {self.other[0]}"
        return super().title_of_view

    def _view(self, view: View) -> pygame.Surface | None:
        if self.other is None or self.view != View.SPLIT or view == View.NEURAL:
            return super()._view(view)
        image, amount = np.ascontiguousarray(self.other[1]), self._film_on(self.other[1].shape[1])
        image = sharpened(image, amount) if amount > 0.0 else image
        return pygame.image.frombuffer(image.data, (image.shape[1], image.shape[0]), "RGB").convert(32)


class Player:
    """Plays ``reader`` in a window.

    ``drive_from``, after :meth:`run`: the frame from which the user chose to drive on.

    Raises RecordingError, ModelError, RuntimeUnavailable, DriveError.
    """

    def __init__(self, reader: RecordingReader, options: ReplayOptions) -> None:
        self.reader, self.options = reader, options
        self.drive_from: int | None = None
        self._selection = Selection(options.model or default_model(reader), options.compare, options.view)
        self._candidates: list[Selection] = []  # candidates for the next one: the first that can be loaded
        self._style = options.style
        pixels = options.paint and options.paint.pixels
        self._pool = RendererPool(reader, options.runtime, options.style, pixels, options.dashcam)
        self.remap = recorded_remap(reader) if options.remap is None else Remap.parse(options.remap)
        self._own = self.remap
        self._done = False
        self._pool.load(self._selection)  # raises now what is wrong with the recording
        camera = frame_of(reader.read(reader.first), options.view).camera
        try:
            self.window = ReplayWindow((camera.width, camera.height))
        except WindowError as error:
            raise DriveError(str(error)) from None
        try:
            self.window.grain = settings.load(settings.path()).grain
        except SettingsError as error:
            raise DriveError(str(error)) from None
        if options.compare is not None:
            self.window.choose(View.SPLIT)
        self._state = HudState(model=self._selection.model)
        self._speed = options.speed
        self._playing = True
        self._seconds = min(options.begin, self._end)
        self._shown: int | None = None
        self._settled = False  # whether the shown image has a history
        self._dragging = False
        times = [reader.time(number) for number in range(len(reader))]
        self._events = known_events(reader.path, times)
        self.window.hud.timeline.holes = [(hole.begin, hole.end) for hole in holes(times)]
        self._track = TrackLoader(reader.path)
        self._ghost = None if options.ghost is None else RunLoader(options.ghost)
        self._shows_ghost = True
        self._note_events()
        self.window.hud.timeline.length = reader.time(len(reader) - 1)

    @property
    def model(self) -> str:
        """The model that is shown."""
        return self._selection.model

    @property
    def style(self) -> str | None:
        """The chosen style; None: by the weather."""
        return self._style

    @property
    def _end(self) -> float:
        last = self.reader.time(len(self.reader) - 1)
        return last if self.options.end is None else min(self.options.end, last)

    def run(self, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Play until the window is closed, ``interrupted()``, or the user chooses to drive on."""
        drawn = 0.0
        try:
            self._load(interrupted)
            self.window.hud.notify("Press H for help")
            before = time.monotonic()
            while not self._done and not interrupted():
                busy = self._playing or not self._settled
                redraw = self._handle_events(1 if busy else _WAIT)
                self._take_track()
                self._switch_if_loaded()
                now = time.monotonic()
                if self._playing and not self._dragging:
                    self._seconds += (now - before) * self._speed
                    if self._seconds >= self._end:
                        self._seconds, self._playing = self._end, False
                before = now
                if self._show() or redraw or now - drawn >= _REDRAW:
                    self._draw()
                    drawn = now
        finally:
            self.window.close()

    def _load(self, interrupted: Callable[[], bool]) -> None:
        """Wait for the first model in a responsive window; raises its errors."""
        begun = time.monotonic()
        steps = [(f"Model {model}", False) for model in self._selection.models]
        while not self._pool.is_ready(self._selection) and not self._done and not interrupted():
            self.window.loading(Loading(steps, time.monotonic() - begun, keys=FIRST_KEYS))
            self._handle_events(_WAIT)
        if not self._done and self._pool.is_ready(self._selection):
            self._frame, self._image = self._renderer(self._selection.model).render(self.reader.first)
        else:
            self._done = True

    def _select(self, *candidates: Selection) -> None:
        """Show the first of ``candidates`` that can be loaded, as soon as it is."""
        self._candidates = list(candidates)
        self._begin_loading()

    def _begin_loading(self) -> None:
        while self._candidates:
            try:
                self._pool.load(self._candidates[0])
                return
            except _LOAD_ERRORS as error:
                self._reject(error)

    def _reject(self, error: Exception) -> None:
        selection = self._candidates.pop(0)
        logger().warning(f"{' and '.join(selection.models)}: {error}")
        self.window.hud.notify(f"Cannot load {selection.compare or selection.model}: see the terminal")

    def _switch_if_loaded(self) -> None:
        """Switch to the first candidate once it is loaded."""
        try:
            is_loaded = bool(self._candidates) and self._pool.is_ready(self._candidates[0])
        except _LOAD_ERRORS as error:
            self._reject(error)
            self._begin_loading()
            is_loaded = False
        if is_loaded:
            before, self._selection, self._candidates = self._selection, self._candidates[0], []
            self._settled, self._shown = False, None
            if self._selection.model != before.model:
                self.window.hud.notify(f"Model: {self._selection.model}")
            if self._selection.compare != before.compare:
                compare = self._selection.compare
                self.window.choose(View.SPLIT if compare else View.NEURAL)
                self.window.hud.notify(f"Compared with: {compare}" if compare else "No comparison")
        self.window.hud.loading = self._pool.loading(self._candidates[:1])

    def _show(self) -> bool:
        """Render the frame that is due if it is a new one, or again with a history; return whether it did."""
        number = self._number(self._seconds)
        is_late = self._shown is not None and self._shown + 1 < number <= self._shown + BRIDGED
        if is_late and self._shown is not None and self._playing and self._speed <= 1.0:
            number = self._shown + 1  # better every image a little late than jumping images
            self._seconds = self.reader.time(number)
        is_next = self._shown is not None and self._shown < number <= self._shown + BRIDGED
        if number == self._shown and self._settled:
            return False
        must_settle = number == self._shown
        try:
            self._render(number, PREROLL if must_settle else 0)
        except DamagedChunk:
            self.window.hud.notify("Damaged here: this frame cannot be shown")
            must_settle = True
        self._settled = must_settle or is_next or self._shown is None
        self._shown = number
        return True

    def _render(self, number: int, preroll: int) -> None:
        begun = time.perf_counter()
        renderer = self._renderer(self._selection.model)
        self._frame, self._image = renderer.render(number, preroll)
        self.window.remap = renderer.remap
        other = self._selection.compare
        self.window.other = None if other is None else (other, self._renderer(other).render(number, preroll)[1])
        self.window.hud.timeline.render_ms = (time.perf_counter() - begun) * 1000.0

    def _draw(self) -> None:
        line, state, renderer = self.window.hud.timeline, self._state, self._renderer(self._selection.model)
        line.seconds, line.speed, line.playing = self._seconds, self._speed, self._playing
        line.frame, line.frames = (self._shown or 0) + 1, len(self.reader)
        style = f"  |  {renderer.style}" if renderer.style else ""
        state.ego, state.model, state.runtime = self._frame.ego, renderer.model + style, renderer.runtime
        names = (
            self.reader.about.get("scenario", self.reader.path.stem),
            self._selection.view,
            self._frame.weather_name,
        )
        state.place = "  |  ".join(name for name in names if name)
        state.appearance = renderer.remap.label
        state.ghost = self._ghost_place()
        self.window.show(self._frame, self._image, state)

    def _ghost_place(self) -> np.ndarray | None:
        """Return where the ghost is now: x, y, z (m), yaw (radians); None for nowhere."""
        loader = self._ghost
        if loader is not None and loader.problem:
            logger().warning(f"no ghost: {loader.problem}")
            self.window.hud.notify("No ghost: see the terminal")
            self._ghost = None
        run = None if loader is None else loader.found
        return run.at(self._seconds) if run is not None and self._shows_ghost else None

    def _renderer(self, model: str) -> RecordingRenderer:
        renderer = self._pool.get(model, self._selection.view)
        if model != RECORDED:
            renderer.remap = self.remap
        return renderer

    def _number(self, seconds: float) -> int:
        """Return the number of the newest frame at this time."""
        guess = min(max(int(seconds * self.reader.fps + 1e-6), 0), len(self.reader) - 1)
        while guess + 1 < len(self.reader) and self.reader.time(guess + 1) <= seconds + 1e-6:
            guess += 1
        while guess > 0 and self.reader.time(guess) > seconds + 1e-6:
            guess -= 1
        return guess

    def _note_events(self) -> None:
        self.window.hud.timeline.marks = [(s, kind) for s, kind, _ in self._events if kind != "hole"]

    def _take_track(self) -> None:
        """Take over the drive's course once it has been read."""
        line, track = self.window.hud.timeline, self._track.track
        if track is None or line.track is not None:
            return
        line.track = track
        self._events = with_events(self._events, track)
        self._note_events()

    def _jump(self, sign: int) -> None:
        """Go to the next or previous event, just before it happens, and say what it is."""
        self._playing = False
        lead = 0.5
        later = [event for event in self._events if sign * (event[0] - lead - self._seconds) > 0.05]
        if not later:
            self.window.hud.notify("No event after this" if sign > 0 else "No event before this")
            return
        seconds, _, text = later[0] if sign > 0 else later[-1]
        self._go(seconds - lead)
        self.window.hud.notify(text)

    # Keys and mouse

    def _handle_events(self, wait: int) -> bool:
        redraw = False
        for event in (pygame.event.wait(wait), *pygame.event.get()):
            if event.type == pygame.QUIT:
                self._done = True
            elif event.type == pygame.KEYDOWN:
                self._key(event.key, event.mod)
                redraw = True
            elif not self._mouse(event):
                redraw = self.window.handle(event) or redraw
        return redraw

    def _mouse(self, event: pygame.event.Event) -> bool:
        """Handle scrubbing; return whether the event was one of the timeline."""
        hud = self.window.hud
        if event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            self._dragging = hud.visible and hud.track.inflate(12, 30).collidepoint(event.pos)
        elif event.type == pygame.MOUSEBUTTONUP and event.button == 1:
            was_dragging, self._dragging = self._dragging, False
            return was_dragging
        if self._dragging and event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEMOTION):
            self._go(hud.at(event.pos[0]))
            return True
        return False

    def _key(self, key: int, modifiers: int) -> None:
        hud, views = self.window.hud, {pygame.K_1 + n: View(n + 1) for n in range(6)}
        if key in views:
            self.window.choose(views[key])
        elif key in (pygame.K_LEFT, pygame.K_RIGHT):
            self._step(1 if key == pygame.K_RIGHT else -1, bool(modifiers & pygame.KMOD_SHIFT))
        elif key in (pygame.K_UP, pygame.K_DOWN):
            nearest = min(range(len(SPEEDS)), key=lambda n: abs(SPEEDS[n] - self._speed))
            self._speed = SPEEDS[min(max(nearest + (1 if key == pygame.K_UP else -1), 0), len(SPEEDS) - 1)]
        elif key == pygame.K_SPACE:
            if not self._playing and self._seconds >= self._end:
                self._go(0.0)
            self._playing = not self._playing
        elif key in (pygame.K_HOME, pygame.K_END):
            self._go(0.0 if key == pygame.K_HOME else self._end)
        elif key == pygame.K_j:
            self._jump(-1 if modifiers & pygame.KMOD_SHIFT else 1)
        elif key == pygame.K_k:
            self._shows_ghost = not self._shows_ghost
            if self._ghost is None:
                hud.notify("No ghost: start with --ghost FILE.mcap")
        elif key == pygame.K_g:
            hud.graphs.on = not hud.graphs.on
        elif key == pygame.K_m:
            selection = self._newest
            self._select(*(replace(selection, model=name) for name in _after(selection.model, self._models())))
        elif key == pygame.K_n:
            selection = self._newest
            others = [None, *(name for name in self._models() if name != selection.model)]
            self._select(*(replace(selection, compare=name) for name in _after(selection.compare, others)))
        elif key == pygame.K_s:
            self._next_style()
        elif key == pygame.K_e:
            self.remap = next_remap(self.remap, self._own)
            is_recorded = self._selection.model == RECORDED
            hud.notify("No edits: press M for a model" if is_recorded else f"Edit: {self.remap.label or 'none'}")
            self._settled = False
        elif key == pygame.K_v and self.reader.views:
            selection = self._newest
            self._select(
                *(replace(selection, view=name) for name in _after(selection.view, ["", *self.reader.views])[:1])
            )
        elif key == pygame.K_d:
            number = self._number(self._seconds)
            reason = obstacle(self.reader, number)
            if reason:
                hud.notify(reason)
            else:
                self.drive_from, self._done = number, True
        elif key == pygame.K_F12:
            self._screenshot()
        elif key == pygame.K_TAB:
            hud.visible = not hud.visible
        elif key in (pygame.K_h, pygame.K_F1):
            hud.help.turn()
        elif key == pygame.K_F3:
            hud.full = not hud.full
        elif key == pygame.K_F11 or (key == pygame.K_RETURN and modifiers & pygame.KMOD_ALT):
            self.window.toggle_fullscreen()
        elif key == pygame.K_ESCAPE and hud.help.page is not None:
            hud.help.close()
        elif key == pygame.K_ESCAPE:
            self._done = True

    def _go(self, seconds: float) -> None:
        self._seconds = min(max(seconds, 0.0), self._end)

    def _step(self, sign: int, by_second: bool) -> None:
        self._playing = False
        number = self._number(self._seconds)
        if by_second:
            self._go(self._seconds + sign)
        else:
            self._go(self.reader.time(min(max(number + sign, 0), len(self.reader) - 1)))

    def _models(self) -> list[str]:
        given = [name for name in (self.options.model, self.options.compare) if name]
        return list(dict.fromkeys([RECORDED, *zoo.names(), *given, TAGS]))

    @property
    def _newest(self) -> Selection:
        return self._candidates[0] if self._candidates else self._selection

    def _next_style(self) -> None:
        shown = self._renderer(self._selection.model)
        if not shown.styles:
            self.window.hud.notify("No styles: press M for a model")
            return
        styles = [None, *shown.styles]
        self._style = self._pool.style = styles[(styles.index(shown.style) + 1) % len(styles)]
        for renderer in self._pool:
            if self._style is None or self._style in renderer.styles:
                renderer.set_style(self._style)
        self.window.hud.notify(f"Style: {self._style or 'automatic'}")
        self._settled = False

    def _screenshot(self) -> None:
        try:
            self.window.hud.notify(f"Saved {self.window.screenshot(self.options.screenshots)}")
        except OSError as error:
            self.window.hud.notify(f"Cannot save a screenshot: {error}")


_Name = TypeVar("_Name")


def _after(current: _Name, names: Sequence[_Name]) -> list[_Name]:
    """Return all other names in turn, beginning after the current one."""
    start = names.index(current) + 1 if current in names else 0
    return [name for name in (*names[start:], *names[:start]) if name != current]
