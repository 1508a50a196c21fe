"""The replay's window: scrub, step, change speed, paint anew, compare two models, drive on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from neuralsim.window.window import Window, WindowError  # isort: skip (before pygame: it prepares SDL)

import pygame

from neuralsim import zoo
from neuralsim.base.log import logger
from neuralsim.drive.interactive_drive import HudState
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import DamagedChunk, RecordingReader, frame_of
from neuralsim.renderer.neural_renderer import ModelError, RuntimeUnavailable
from neuralsim.renderer.remap import Remap, following
from neuralsim.renderer.views import NAMES, View
from neuralsim.replay.options import RECORDED, ReplayOptions
from neuralsim.replay.painters import Painters, Wish
from neuralsim.replay.repaint import BRIDGED, PREROLL, Repainter, default_model, recorded_remap
from neuralsim.replay.replay_hud import FIRST_KEYS, ReplayHud
from neuralsim.session.options import TAGS
from neuralsim.session.painting_loop import DriveError
from neuralsim.window.overlay_cards import Loading

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_WAIT = 30  # ms between looks at the keys while nothing moves
_REDRAW = 0.1  # s between drawings while nothing moves: notices fade
_FAILS = (RecordingError, ModelError, RuntimeUnavailable)  # what a model may be missing


class ReplayWindow(Window):
    """The driving window; its split view may have a second model on its right."""

    hud: ReplayHud

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(size, title="NeuralSim replay")
        self.hud = ReplayHud()
        self.other: tuple[str, np.ndarray] | None = None  # name and picture of the model to compare with

    @property
    def title_of_view(self) -> str:
        if self.view == View.SPLIT and self.other is not None:
            return f"{NAMES[View.NEURAL]}  |  {self.other[0]}"
        return super().title_of_view

    def _view(self, view: View) -> pygame.Surface | None:
        if self.other is None or self.view != View.SPLIT or view == View.NEURAL:
            return super()._view(view)
        picture = np.ascontiguousarray(self.other[1])
        return pygame.image.frombuffer(picture.data, (picture.shape[1], picture.shape[0]), "RGB").convert(32)


class Player:
    """Plays ``reader`` in a window. ``drive_from``, after :meth:`run`: the frame from which the driver wants to go on.

    Raises RecordingError, ModelError, RuntimeUnavailable, DriveError.
    """

    def __init__(self, reader: RecordingReader, options: ReplayOptions) -> None:
        self.reader, self.options = reader, options
        self.drive_from: int | None = None
        self._wish = Wish(options.model or default_model(reader), options.compare, options.view)
        self._wishes: list[Wish] = []  # what it is to be next: the first one that can be had
        self._style = options.style
        self._painters = Painters(reader, options.runtime, options.style, options.paint and options.paint.pixels)
        #: what is painted as what
        self.remap = recorded_remap(reader) if options.remap is None else Remap.parse(options.remap)
        self._own = self.remap
        self._done = False
        self._painters.begin(self._wish)  # says now what is wrong with the recording
        camera = frame_of(reader.read(reader.first), options.view).camera
        try:
            self.window = ReplayWindow((camera.width, camera.height))
        except WindowError as error:
            raise DriveError(str(error)) from None
        if options.compare is not None:
            self.window.choose(View.SPLIT)
        self._state = HudState(model=self._wish.model)
        self._speed = options.speed
        self._playing = True
        self._seconds = min(options.begin, self._end)
        self._shown: int | None = None
        self._settled = False  # what is shown has a past
        self._dragging = False
        self.window.hud.timeline.marks = _marks(reader)
        self.window.hud.timeline.length = reader.time(len(reader) - 1)

    @property
    def model(self) -> str:
        """What is looked at."""
        return self._wish.model

    @property
    def style(self) -> str | None:
        """What was chosen to paint in; None: the weather's."""
        return self._style

    @property
    def _end(self) -> float:
        last = self.reader.time(len(self.reader) - 1)
        return last if self.options.end is None else min(self.options.end, last)

    def run(self, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Play until the window is closed, ``interrupted()``, or the driver wants to drive on."""
        drawn = 0.0
        try:
            self._load(interrupted)
            self.window.hud.notify("Press H for help")
            before = time.monotonic()
            while not self._done and not interrupted():
                busy = self._playing or not self._settled
                redraw = self._events(1 if busy else _WAIT)
                self._follow_wishes()
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
        """Wait for what is to be looked at first, in a window that answers; raises what is wrong with it."""
        begun = time.monotonic()
        steps = [(f"Model {model}", False) for model in self._wish.models]
        while not self._painters.ready(self._wish) and not self._done and not interrupted():
            self.window.loading(Loading(steps, time.monotonic() - begun, keys=FIRST_KEYS))
            self._events(_WAIT)
        if not self._done and self._painters.ready(self._wish):
            self._frame, self._picture = self._painter(self._wish.model).paint(self.reader.first)
        else:
            self._done = True

    def _want(self, *wishes: Wish) -> None:
        """Look at the first of these that can be had, as soon as it is loaded."""
        self._wishes = list(wishes)
        self._begin()

    def _begin(self) -> None:
        while self._wishes:
            try:
                self._painters.begin(self._wishes[0])
                return
            except _FAILS as error:
                self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        wish = self._wishes.pop(0)
        logger().warning(f"{' and '.join(wish.models)}: {error}")
        self.window.hud.notify(f"Not {wish.compare or wish.model}: see the terminal")

    def _follow_wishes(self) -> None:
        """Change over to what is wished for when it is there."""
        try:
            there = bool(self._wishes) and self._painters.ready(self._wishes[0])
        except _FAILS as error:
            self._refuse(error)
            self._begin()
            there = False
        if there:
            before, self._wish, self._wishes = self._wish, self._wishes[0], []
            self._settled, self._shown = False, None
            if self._wish.model != before.model:
                self.window.hud.notify(f"Model: {self._wish.model}")
            if self._wish.compare != before.compare:
                compare = self._wish.compare
                self.window.choose(View.SPLIT if compare else View.NEURAL)
                self.window.hud.notify(f"Compared with: {compare}" if compare else "No comparison")
        self.window.hud.loading = self._painters.loading(self._wishes[:1])

    def _show(self) -> bool:
        """Paint the frame that is due, if it is another one, or the same once more with a past; True if so."""
        number = self._number(self._seconds)
        late = self._shown is not None and self._shown + 1 < number <= self._shown + BRIDGED
        if late and self._shown is not None and self._playing and self._speed <= 1.0:
            number = self._shown + 1  # rather every picture a little late than pictures that jump
            self._seconds = self.reader.time(number)
        follows = self._shown is not None and self._shown < number <= self._shown + BRIDGED
        if number == self._shown and self._settled:
            return False
        settle = number == self._shown
        try:
            self._paint(number, PREROLL if settle else 0)
        except DamagedChunk:
            self.window.hud.notify("Damaged here: this frame cannot be shown")
            settle = True
        self._settled = settle or follows or self._shown is None
        self._shown = number
        return True

    def _paint(self, number: int, preroll: int) -> None:
        begun = time.perf_counter()
        painter = self._painter(self._wish.model)
        self._frame, self._picture = painter.paint(number, preroll)
        self.window.remap = painter.remap
        other = self._wish.compare
        self.window.other = None if other is None else (other, self._painter(other).paint(number, preroll)[1])
        self.window.hud.timeline.paint_ms = (time.perf_counter() - begun) * 1000.0

    def _draw(self) -> None:
        line, state, painter = self.window.hud.timeline, self._state, self._painter(self._wish.model)
        line.seconds, line.speed, line.playing = self._seconds, self._speed, self._playing
        line.frame, line.frames = (self._shown or 0) + 1, len(self.reader)
        style = f"  |  {painter.style}" if painter.style else ""
        state.ego, state.model, state.runtime = self._frame.ego, painter.model + style, painter.runtime
        names = (self.reader.about.get("scenario", self.reader.path.stem), self._wish.view, self._frame.weather_name)
        state.place = "  |  ".join(name for name in names if name)
        state.painted = painter.remap.words
        self.window.show(self._frame, self._picture, state)

    def _painter(self, model: str) -> Repainter:
        painter = self._painters.get(model, self._wish.view)
        if model != RECORDED:
            painter.remap = self.remap
        return painter

    def _number(self, seconds: float) -> int:
        """The newest frame at this time."""
        guess = min(max(int(seconds * self.reader.fps + 1e-6), 0), len(self.reader) - 1)
        while guess + 1 < len(self.reader) and self.reader.time(guess + 1) <= seconds + 1e-6:
            guess += 1
        while guess > 0 and self.reader.time(guess) > seconds + 1e-6:
            guess -= 1
        return guess

    # Keys and mouse

    def _events(self, wait: int) -> bool:
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
        """Scrubbing; True if the event was of the time line."""
        hud = self.window.hud
        if event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            self._dragging = hud.visible and hud.track.inflate(12, 30).collidepoint(event.pos)
        elif event.type == pygame.MOUSEBUTTONUP and event.button == 1:
            was, self._dragging = self._dragging, False
            return was
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
            near = min(range(len(SPEEDS)), key=lambda n: abs(SPEEDS[n] - self._speed))
            self._speed = SPEEDS[min(max(near + (1 if key == pygame.K_UP else -1), 0), len(SPEEDS) - 1)]
        elif key == pygame.K_SPACE:
            if not self._playing and self._seconds >= self._end:
                self._go(0.0)
            self._playing = not self._playing
        elif key in (pygame.K_HOME, pygame.K_END):
            self._go(0.0 if key == pygame.K_HOME else self._end)
        elif key == pygame.K_m:
            wish = self._newest
            self._want(*(replace(wish, model=name) for name in _after(wish.model, self._models())))
        elif key == pygame.K_n:
            wish = self._newest
            others = [None, *(name for name in self._models() if name != wish.model)]
            self._want(*(replace(wish, compare=name) for name in _after(wish.compare, others)))
        elif key == pygame.K_s:
            self._next_style()
        elif key == pygame.K_e:
            self.remap = following(self.remap, self._own)
            recorded = self._wish.model == RECORDED
            words = "No edits: press M for a model that paints" if recorded else f"Edit: {self.remap.words or 'none'}"
            hud.notify(words)
            self._settled = False
        elif key == pygame.K_v and self.reader.views:
            wish = self._newest
            self._want(*(replace(wish, view=name) for name in _after(wish.view, ["", *self.reader.views])[:1]))
        elif key == pygame.K_d:
            self.drive_from, self._done = self._number(self._seconds), True
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

    def _step(self, sign: int, second: bool) -> None:
        self._playing = False
        number = self._number(self._seconds)
        if second:
            self._go(self._seconds + sign)
        else:
            self._go(self.reader.time(min(max(number + sign, 0), len(self.reader) - 1)))

    def _models(self) -> list[str]:
        given = [name for name in (self.options.model, self.options.compare) if name]
        return list(dict.fromkeys([RECORDED, *zoo.names(), *given, TAGS]))

    @property
    def _newest(self) -> Wish:
        """What is looked at, or will be when it is loaded."""
        return self._wishes[0] if self._wishes else self._wish

    def _next_style(self) -> None:
        painter = self._painter(self._wish.model)
        if not painter.styles:
            self.window.hud.notify("No styles: press M for a model that paints")
            return
        wanted = [None, *painter.styles]
        self._style = self._painters.style = wanted[(wanted.index(painter.style) + 1) % len(wanted)]
        for one in self._painters:
            if self._style is None or self._style in one.styles:
                one.choose(self._style)
        self.window.hud.notify(f"Style: {self._style or 'of the weather'}")
        self._settled = False

    def _screenshot(self) -> None:
        try:
            self.window.hud.notify(f"Saved {self.window.screenshot(self.options.screenshots)}")
        except OSError as error:
            self.window.hud.notify(f"No screenshot: {error}")


_Name = TypeVar("_Name")


def _after(current: _Name, names: Sequence[_Name]) -> list[_Name]:
    """All other names in turn, beginning behind the current one."""
    start = names.index(current) + 1 if current in names else 0
    return [name for name in (*names[start:], *names[:start]) if name != current]


def _marks(reader: RecordingReader) -> list[tuple[float, str]]:
    """Collisions and lane invasions that ``result.json`` beside the recording tells of."""
    try:
        result = json.loads(Path(reader.path.with_name("result.json")).read_text(encoding="utf-8"))
        marks = [(float(one["time"]), "collision") for one in result.get("collisions", ())]
        return marks + [(float(one["time"]), "lane") for one in result.get("lane_invasions", ())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
