"""The window: the picture scaled to it, the HUD over it, screenshots."""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np

# The window is filled by the CPU and handed over by shared memory: 0.1 ms. SDL's default would upload a texture and
# present it with the (software) GPU: 2.4 ms of a core per picture without a GPU, and a wait for vsync with one.
os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
os.environ.setdefault("SDL_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR", "0")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pygame

from bridge.messages import Frame
from neuralsim.drive.interactive_drive import HudState, Move
from neuralsim.drive.view_choice import ViewChoice
from neuralsim.renderer.views import View, picture
from neuralsim.runtimes import cache
from neuralsim.window.hud import Hud
from neuralsim.window.menu import Menu
from neuralsim.window.overlay_cards import Loading, draw_loading

_MINIMUM = (320, 160)
_JOLT, _JOLT_RATE = 0.6, 7.0  # s that the picture shakes after a blow, and how often a second
_GRAB = 10  # pixels beside the divider that still take hold of it


class WindowError(RuntimeError):
    """No window can be opened; the message says where and why, in one line."""


def display_available() -> bool:
    """Whether a window could be opened here, without opening one."""
    driver = os.environ.get("SDL_VIDEODRIVER", "")
    if driver in ("dummy", "offscreen") or sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Window(ViewChoice):
    """A resizable window for frames of ``size`` (width, height).

    At first it is ``wanted`` pixels large, else ``times`` the frames' size where that fits; or ``fullscreen``.
    """

    def __init__(
        self,
        size: tuple[int, int],
        times: float = 2.0,
        title: str = "NeuralSim",
        *,
        wanted: tuple[int, int] | None = None,
        fullscreen: bool = False,
    ) -> None:
        if sys.platform == "linux" and not os.environ.get("WAYLAND_DISPLAY"):
            os.environ.setdefault("SDL_VIDEODRIVER", "x11")  # else SDL falls back to drivers that show nothing
        try:
            pygame.display.init()
            self._windowed = _start_size(size, times, wanted)
            self._surface = _set_mode(self._windowed, fullscreen)
        except pygame.error as error:
            where = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or "this machine"
            raise WindowError(f"no window on {where} ({error})") from None
        pygame.display.set_caption(title)
        pygame.display.set_icon(_icon())
        pygame.key.set_repeat()  # no repeats: a held key is one press
        self.fullscreen = fullscreen
        self.hud = Hud()
        self.menu = Menu()
        super().__init__()
        self._dragging = False
        self._cursor = pygame.SYSTEM_CURSOR_ARROW
        self._aspect = size[0] / size[1]
        self._frame: Frame | None = None
        self._neural: np.ndarray | None = None
        self._views: dict[View, pygame.Surface] = {}  # of the frame, as far as they were shown
        self._spare: list[pygame.Surface] = []  # for pictures in the making
        self._jolted = (0.0, 0.0)  # how hard, 0 .. 1, and when, s

    @property
    def windowed(self) -> tuple[int, int]:
        """Its size in pixels, also while it fills the screen: that which it has otherwise."""
        return self._windowed if self.fullscreen else self._surface.get_size()

    def jolt(self, strength: float) -> None:
        """Shake the picture, 0 .. 1."""
        self._jolted = strength, time.monotonic()

    def toggle_fullscreen(self) -> None:
        """Fill the screen, or be a window of the size of before again."""
        if not self.fullscreen:
            self._windowed = self._surface.get_size()
        self.fullscreen = not self.fullscreen
        self._surface = _set_mode(self._windowed, self.fullscreen)

    def choose(self, view: View) -> None:
        super().choose(view)
        self._dragging = False
        self._point(pygame.SYSTEM_CURSOR_ARROW)

    def handle(self, event: pygame.event.Event) -> bool:
        """Take mouse and window events; True if the picture must be drawn again."""
        if event.type in (pygame.VIDEORESIZE, pygame.WINDOWEXPOSED):
            self._surface = pygame.display.get_surface() or self._surface
            return True
        clicked = event.type == pygame.MOUSEBUTTONDOWN and event.button == 1
        if clicked and not self.hud.minimap.large and self.hud.clicked(event.pos):
            return True
        if self.view != View.SPLIT:
            return False
        if clicked:
            self._dragging = abs(event.pos[0] - self._divider_x()) <= _GRAB
        elif event.type == pygame.MOUSEBUTTONUP and event.button == 1:
            self._dragging = False
        elif event.type == pygame.MOUSEMOTION:
            near = self._dragging or abs(event.pos[0] - self._divider_x()) <= _GRAB
            self._point(pygame.SYSTEM_CURSOR_SIZEWE if near else pygame.SYSTEM_CURSOR_ARROW)
            if self._dragging:
                box = self._box()
                self.divider = min(max((event.pos[0] - box.left) / box.width, 0.02), 0.98)
                return True
        return False

    def loading(self, loading: Loading) -> None:
        """Show what is being waited for."""
        draw_loading(self._surface, self.hud.pen, loading)
        pygame.display.flip()

    def show(self, frame: Frame, neural: np.ndarray, state: HudState, move: Move | None = None) -> None:
        """Draw ``frame`` in the chosen view, moved by ``move``, with the HUD over it, and put it on the screen."""
        if frame is not self._frame or neural is not self._neural:
            self._views.clear()
        self._frame, self._neural = frame, neural
        if frame.camera.height:
            self._aspect = frame.camera.width / frame.camera.height
        self._draw(move)
        state.view = self.title_of_view
        self.hud.minimap.large = self.hud.minimap.large and not self.menu.shown
        self.hud.draw(self._surface, self._box(), state, frame)
        self.menu.draw(self._surface, self.hud.pen)
        pygame.display.flip()

    def again(self, state: HudState, move: Move | None = None) -> None:
        """Draw the newest frame once more: something over it has changed, or it is to be moved."""
        if self._frame is not None and self._neural is not None:
            self.show(self._frame, self._neural, state, move)

    def screenshot(self, folder: Path, *, dressed: bool = False) -> Path:
        """Save the picture as PNG into ``folder`` and return the file's path. ``OSError`` if it cannot.

        ``dressed``: with all that is drawn over it, as the window shows it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        stem = time.strftime("neuralsim-%Y%m%d-%H%M%S")
        path, n = folder / f"{stem}.png", 1
        while path.exists():
            path, n = folder / f"{stem}-{n}.png", n + 1
        try:
            if not dressed and self._frame is not None:
                self._draw(None)  # over the HUD, which is drawn again with the next display
            written = io.BytesIO()
            pygame.image.save(self._surface, written, path.name)
            cache.write(path, written.getvalue())  # whole or not at all
        except pygame.error as error:
            raise OSError(f"cannot save {path}: {error}") from None
        return path

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()

    def _box(self) -> pygame.Rect:
        """Where the picture lies: as large as fits with its own aspect ratio."""
        width, height = self._surface.get_size()
        if width > height * self._aspect:
            box = pygame.Rect(0, 0, max(round(height * self._aspect), 1), height)
        else:
            box = pygame.Rect(0, 0, width, max(round(width / self._aspect), 1))
        box.center = (width // 2, height // 2)
        return box.clip(self._surface.get_rect())

    def _point(self, cursor: int) -> None:
        if cursor != self._cursor:
            self._cursor = cursor
            with contextlib.suppress(pygame.error):  # a display without cursors of its own
                pygame.mouse.set_cursor(cursor)

    def _divider_x(self) -> int:
        box = self._box()
        return box.left + round(self.divider * box.width)

    def _draw(self, move: Move | None) -> None:
        small = self._picture(move)
        if self._frame is not None and self._frame.mount == "reversing":  # as a mirror shows it: left is left
            small = pygame.transform.flip(small, True, False)
        box = self._box()
        if box.size != self._surface.get_size():
            self._surface.fill((0, 0, 0))
        if small.get_size() == box.size:
            self._surface.blit(small, box)
        else:
            pygame.transform.smoothscale(small, box.size, self._surface.subsurface(box))
        self._shake(box)
        if self.view == View.SPLIT:
            x = self._divider_x()
            self._surface.fill((20, 24, 30), (x - 2, box.top, 4, box.height))
            self._surface.fill((244, 247, 250), (x - 1, box.top, 2, box.height))
            pygame.draw.circle(self._surface, (244, 247, 250), (x, box.centery), 9)
            for side in (-1, 1):
                tip, base = x + 6 * side, x + 2 * side
                points = [(tip, box.centery), (base, box.centery - 4), (base, box.centery + 4)]
                pygame.draw.polygon(self._surface, (20, 24, 30), points)

    def _shake(self, box: pygame.Rect) -> None:
        """Shift what is drawn as a body does that was hit: down first, a damped oscillation."""
        strength, begun = self._jolted
        since = time.monotonic() - begun
        if strength <= 0.0 or since > _JOLT:
            return
        away = math.exp(-6.0 * since) * math.sin(2.0 * math.pi * _JOLT_RATE * since)
        down, right = round(0.05 * box.height * strength * away), round(0.012 * box.width * strength * away)
        picture = self._surface.subsurface(box)
        picture.blit(picture.copy(), (right, down))

    def _picture(self, move: Move | None) -> pygame.Surface:
        """The chosen view, moved; the neural picture stands in for a plane that is not there (yet)."""
        shown = self._view(self.split_right if self.view == View.SPLIT else self.view)
        self.missing = shown is None
        left = self._view(View.NEURAL)
        assert left is not None, "every frame has a neural picture"
        if shown is None or self.view != View.SPLIT:
            return self._moved(left if shown is None else shown, move, 0)
        both = self._moved(shown, move, 0)
        if both is shown:
            both = shown.copy()
        width, height = both.get_size()
        both.blit(self._moved(left, move, 1), (0, 0), (0, 0, round(width * self.divider), height))
        return both

    def _view(self, view: View) -> pygame.Surface | None:
        """The picture of a view, made once per frame; None while the frame does not carry its plane."""
        if view not in self._views and self._frame is not None and self._neural is not None:
            shown = picture(view, self._frame, self._neural, self.remap)
            if shown is not None:
                shown = np.ascontiguousarray(shown)
                size = shown.shape[1], shown.shape[0]
                self._views[view] = pygame.image.frombuffer(shown.data, size, "RGB").convert(32)
        return self._views.get(view)

    def _moved(self, shown: pygame.Surface, move: Move | None, which: int) -> pygame.Surface:
        """``shown`` as it is, or moved in the spare surface of that number."""
        if move is None:
            return shown
        if not self._spare or self._spare[0].get_size() != shown.get_size():
            self._spare = [shown.copy(), shown.copy()]
        target = self._spare[which]
        moved = move(_pixels(shown), _pixels(target))
        return target if moved else shown


def _start_size(size: tuple[int, int], times: float, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Pixels of a window for frames of ``size``: never larger than the desktop, nor too small to take hold of."""
    desktop = pygame.display.get_desktop_sizes()[0]
    if wanted is None:
        factor = max(min(times, desktop[0] * 0.94 / size[0], desktop[1] * 0.88 / size[1]), 0.25)
        wanted = round(size[0] * factor), round(size[1] * factor)
    return max(min(wanted[0], desktop[0]), _MINIMUM[0]), max(min(wanted[1], desktop[1]), _MINIMUM[1])


def _set_mode(windowed: tuple[int, int], fullscreen: bool) -> pygame.Surface:
    """The display's surface; the screen keeps its resolution, for a change of it flickers and moves others' windows."""
    if fullscreen:
        return pygame.display.set_mode(pygame.display.get_desktop_sizes()[0], pygame.FULLSCREEN)
    for _ in range(2):  # without a window manager the first call leaves the full screen, and the second one resizes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            surface = pygame.display.set_mode(windowed, pygame.RESIZABLE)
        if surface.get_size() == windowed:
            break
        pygame.event.pump()
    return surface


def _pixels(surface: pygame.Surface) -> np.ndarray:
    """u32 (H, W): the surface's own memory; it cannot be drawn on while the array lives."""
    return pygame.surfarray.pixels2d(surface).T


def _icon() -> pygame.Surface:
    """A small street running to the horizon."""
    icon = pygame.Surface((32, 32), pygame.SRCALPHA)
    pygame.draw.rect(icon, (70, 130, 180), (0, 0, 32, 16), border_top_left_radius=7, border_top_right_radius=7)
    pygame.draw.rect(icon, (40, 46, 56), (0, 14, 32, 18), border_bottom_left_radius=7, border_bottom_right_radius=7)
    pygame.draw.polygon(icon, (120, 126, 136), [(14, 14), (18, 14), (29, 31), (3, 31)])
    pygame.draw.polygon(icon, (250, 240, 200), [(15, 20), (17, 20), (18, 31), (14, 31)])
    return icon
