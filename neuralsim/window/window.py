"""The window: shows the scaled picture with the HUD on top, and saves screenshots."""

import contextlib
import io
import math
import os
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np

os.environ.setdefault("SDL_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR", "0")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pygame

from bridge.messages import Camera, Frame
from bridge.weather import effective_weather, wetness
from neuralsim.drive.interactive_drive import HudState, Warp
from neuralsim.drive.view_choice import ViewChoice
from neuralsim.renderer.dashcam.bonnet_surface import SHORTEST_BONNET, Car, shape_of
from neuralsim.renderer.dashcam.own_bonnet import OwnBonnet
from neuralsim.renderer.views import View, view_image
from neuralsim.runtimes import cache
from neuralsim.window.film import Grain, sharpened
from neuralsim.window.hud import Hud
from neuralsim.window.menu import Menu
from neuralsim.window.overlay_cards import Loading, draw_loading

_MINIMUM = (320, 160)
_JOLT_TIME = 0.6  # s, duration of the shake after an impact
_JOLT_RATE = 7.0  # Hz
_ENLARGED = 1.25  # from which scale on a picture looks soft
_GRAB = 10  # pixels around the divider where it can be grabbed
#: What to do without a display.
NO_DISPLAY = "set DISPLAY, use --headless, or drive in a browser with `make serve`"


class WindowError(RuntimeError):
    """No window can be opened; the message is one line with place and reason."""


def display_available() -> bool:
    """Return whether a window could be opened here, without opening one."""
    driver = os.environ.get("SDL_VIDEODRIVER", "")
    if driver in ("dummy", "offscreen") or sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_display() -> None:
    """Connect to the display, once; raises ``WindowError`` if there is none."""
    if sys.platform == "linux" and not os.environ.get("WAYLAND_DISPLAY"):
        os.environ.setdefault("SDL_VIDEODRIVER", "x11")  # otherwise SDL falls back to drivers without any output
    try:
        pygame.display.init()
    except pygame.error as error:
        raise _no_window(error) from None
    if pygame.display.get_driver() == "x11":
        # The CPU fills the window and passes it on in shared memory, in 0.1 ms. By default, SDL would upload a texture
        # and present it by (software) GPU: 2.4 ms of CPU time per frame without a GPU, and a wait for vsync with one.
        # It decides with the first window; Wayland has no other way (SDL issues 7532, 15208).
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")


def _no_window(error: pygame.error) -> WindowError:
    where = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or "this machine"
    return WindowError(f"no window on {where} ({error})")


class Window(ViewChoice):
    """A resizable window for frames of ``size`` (width, height).

    Its initial size is ``window_size`` in pixels, or else ``scale`` times that of the frames, where that fits.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale: float = 2.0,
        title: str = "NeuralSim",
        *,
        window_size: tuple[int, int] | None = None,
        fullscreen: bool = False,
    ) -> None:
        open_display()
        try:
            self._windowed = _start_size(size, scale, window_size)
            self._surface = _set_mode(self._windowed, fullscreen)
        except pygame.error as error:
            raise _no_window(error) from None
        pygame.display.set_caption(title)
        pygame.display.set_icon(_icon())
        pygame.key.set_repeat()  # disables key repeat
        self.fullscreen = fullscreen
        self.hud = Hud()
        self.menu = Menu()
        super().__init__()
        self._dragging = False
        self._cursor = pygame.SYSTEM_CURSOR_ARROW
        self._aspect = size[0] / size[1]
        self._frame: Frame | None = None
        self._neural: np.ndarray | None = None
        self._views: dict[View, pygame.Surface] = {}  # of the frame, those shown so far
        self._spare: list[pygame.Surface] = []  # targets of late warp
        self._jolted = (0.0, 0.0)  # strength, 0 to 1, and time, s
        self.shows_bonnet = True  # in the bonnet's view; else it is in the images
        self._bonnet: tuple[object, OwnBonnet | None] = None, None  # and what it is made for
        self._metal: pygame.Surface | None = None  # of the bonnet, in the light of the newest frame
        self.grain = 0.0  # amount of grain and sharpness of an enlarged generated image, 0 to 1
        self._film, self._sharpened = Grain(), 0.0  # the latter: the amount that the generated image's view has

    @property
    def is_comparing(self) -> bool:
        """Whether both parts of the split view are generated images."""
        return False

    @property
    def windowed(self) -> tuple[int, int]:
        """Size in pixels outside fullscreen mode."""
        return self._windowed if self.fullscreen else self._surface.get_size()

    def jolt(self, strength: float) -> None:
        """Shake the picture with a strength of 0 to 1."""
        self._jolted = strength, time.monotonic()

    def toggle_fullscreen(self) -> None:
        """Switch between fullscreen mode and a window of the previous size."""
        if not self.fullscreen:
            self._windowed = self._surface.get_size()
        self.fullscreen = not self.fullscreen
        self._surface = _set_mode(self._windowed, self.fullscreen)

    def choose(self, view: View) -> None:
        super().choose(view)
        self._dragging = False
        self._point(pygame.SYSTEM_CURSOR_ARROW)

    def handle(self, event: pygame.event.Event) -> bool:
        """Handle mouse and window events; return whether to redraw."""
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
        """Show the progress of the start."""
        draw_loading(self._surface, self.hud.pen, loading)
        self.menu.draw(self._surface, self.hud.pen)
        pygame.display.flip()

    def show(self, frame: Frame, neural: np.ndarray, state: HudState, warp: Warp | None = None) -> None:
        """Display ``frame`` in the chosen view, warped by ``warp``, with the HUD on top."""
        if frame is not self._frame or neural is not self._neural:
            self._views.clear()
            self._metal = None
        self._frame, self._neural = frame, neural
        if frame.camera.height:
            self._aspect = frame.camera.width / frame.camera.height
        self._draw(warp)
        state.view = self.title_of_view
        self.hud.minimap.large = self.hud.minimap.large and not self.menu.shown
        self.hud.covered = self.menu.shown
        self.hud.draw(self._surface, self._box(), state, frame)
        self.menu.draw(self._surface, self.hud.pen)
        pygame.display.flip()

    def again(self, state: HudState, warp: Warp | None = None) -> None:
        """Display the newest frame again: warped, or because something on top has changed."""
        if self._frame is not None and self._neural is not None:
            self.show(self._frame, self._neural, state, warp)

    def screenshot(self, folder: Path, *, with_hud: bool = False) -> Path:
        """Save the picture as PNG in ``folder`` and return the file's path. Raises ``OSError``.

        ``with_hud``: as displayed, with everything drawn on top.
        """
        folder.mkdir(parents=True, exist_ok=True)
        stem = time.strftime("neuralsim-%Y%m%d-%H%M%S")
        path, n = folder / f"{stem}.png", 1
        while path.exists():
            path, n = folder / f"{stem}-{n}.png", n + 1
        try:
            if not with_hud and self._frame is not None:
                self._draw(None)  # overwrites the HUD, which returns with the next redraw
            buffer = io.BytesIO()
            pygame.image.save(self._surface, buffer, path.name)
            cache.write(path, buffer.getvalue(), durable=False)  # atomically
        except pygame.error as error:
            raise OSError(f"cannot save {path}: {error}") from None
        return path

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()

    def _box(self) -> pygame.Rect:
        """Return the picture's rectangle: as large as possible at its aspect ratio."""
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
            with contextlib.suppress(pygame.error):  # a display without cursors
                pygame.mouse.set_cursor(cursor)

    def _divider_x(self) -> int:
        box = self._box()
        return box.left + round(self.divider * box.width)

    def _draw(self, warp: Warp | None) -> None:
        small = self._with_bonnet(self._picture(warp))
        box = self._box()
        if box.size != self._surface.get_size():
            self._surface.fill((0, 0, 0))
        if small.get_size() == box.size:
            self._surface.blit(small, box)
        else:
            _scale(small, self._surface.subsurface(box))
            self._add_grain(small, box)
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

    def _film_on(self, width: int) -> float:
        """Return how much grain and sharpness a generated image ``width`` px wide gets: none unless it is enlarged."""
        return self.grain if self._box().width > _ENLARGED * width else 0.0

    def _add_grain(self, small: pygame.Surface, box: pygame.Rect) -> None:
        """Add grain to what is displayed of the enlarged generated image."""
        amount, part = self._film_on(small.get_width()), box.copy()
        if not self.missing:
            if self.view == View.SPLIT and not self.is_comparing:
                part.width = self._divider_x() - box.left
            elif self.view not in (View.NEURAL, View.SPLIT):
                return
        if amount > 0.0 and part.width:
            number = self._frame.sim_frame if self._frame is not None else 0
            self._film.add(_channels(self._surface.subsurface(part)), amount, number)

    def _shake(self, box: pygame.Rect) -> None:
        """Shift the picture in a damped oscillation after an impact, first down."""
        strength, begun = self._jolted
        elapsed = time.monotonic() - begun
        if strength <= 0.0 or elapsed > _JOLT_TIME:
            return
        offset = math.exp(-6.0 * elapsed) * math.sin(2.0 * math.pi * _JOLT_RATE * elapsed)
        down, right = round(0.05 * box.height * strength * offset), round(0.012 * box.width * strength * offset)
        picture = self._surface.subsurface(box)
        picture.blit(picture.copy(), (right, down))

    def _picture(self, warp: Warp | None) -> pygame.Surface:
        """Return the chosen view, warped; the neural image stands in for a missing plane."""
        shown = self._view(self.split_right if self.view == View.SPLIT else self.view)
        self.missing = shown is None
        left = self._view(View.NEURAL)
        assert left is not None, "every frame has a neural image"
        if shown is None or self.view != View.SPLIT:
            return self._turned(self._warped(left if shown is None else shown, warp, 0))
        both = self._turned(self._warped(shown, warp, 0))
        if both is shown:
            both = shown.copy()
        width, height = both.get_size()
        both.blit(self._turned(self._warped(left, warp, 1)), (0, 0), (0, 0, round(width * self.divider), height))
        return both

    def _with_bonnet(self, picture: pygame.Surface) -> pygame.Surface:
        """Return a picture of the bonnet's view with the bonnet of the car, if it has one: it does not warp."""
        frame, image = self._frame, self._neural
        if frame is None or image is None or self.view != View.NEURAL:
            return picture
        if frame.mount != "bonnet" or not self.shows_bonnet:
            return picture
        car: Car = frame.ego.blueprint, frame.ego.color
        key = picture.get_size(), frame.camera.fov, car
        if self._bonnet[0] != key:
            camera = Camera(*picture.get_size(), frame.camera.fov, np.eye(4))
            self._bonnet = key, OwnBonnet(camera, car) if shape_of(car).cowl_at >= SHORTEST_BONNET else None
        if self._bonnet[1] is None:
            return picture
        if self._metal is None:
            metal = self._bonnet[1].metal(image, wetness(effective_weather(frame.weather or {})))
            pixels = np.dstack([metal.clip(0.0, 255.0), 255.0 * self._bonnet[1].cover]).astype(np.uint8)
            self._metal = pygame.image.frombuffer(pixels.data, pixels.shape[1::-1], "RGBA").convert_alpha()
        both = picture.copy()
        both.blit(self._metal, (0, picture.get_height() - self._metal.get_height()))
        return both

    def _turned(self, picture: pygame.Surface) -> pygame.Surface:
        """Return what is displayed of a picture: that of a view back is mirrored, so that left is left."""
        is_back = self._frame is not None and self._frame.mount == "reversing"
        return pygame.transform.flip(picture, True, False) if is_back else picture

    def _view(self, view: View) -> pygame.Surface | None:
        """Return the surface of a view, made once per frame; None if the frame lacks its plane."""
        if view == View.NEURAL and self._neural is not None:
            amount = self._film_on(self._neural.shape[1])
            if amount != self._sharpened:
                self._views.pop(view, None)
                self._sharpened = amount
        if view not in self._views and self._frame is not None and self._neural is not None:
            shown = view_image(view, self._frame, self._neural, self.remap)
            if shown is not None:
                if view == View.NEURAL and self._sharpened > 0.0:
                    shown = sharpened(shown, self._sharpened)
                shown = np.ascontiguousarray(shown)
                size = shown.shape[1], shown.shape[0]
                self._views[view] = pygame.image.frombuffer(shown.data, size, "RGB").convert(32)
        return self._views.get(view)

    def _warped(self, shown: pygame.Surface, warp: Warp | None, which: int) -> pygame.Surface:
        """Return ``shown``, or the spare surface ``which`` with the warped one."""
        if warp is None:
            return shown
        if not self._spare or self._spare[0].get_size() != shown.get_size():
            self._spare = [shown.copy(), shown.copy()]
        target = self._spare[which]
        done = warp(_pixels(shown), _pixels(target))
        return target if done else shown


def _start_size(size: tuple[int, int], scale: float, window_size: tuple[int, int] | None) -> tuple[int, int]:
    """Return the initial window size for frames of ``size``, at most the desktop's and large enough to grab."""
    desktop = pygame.display.get_desktop_sizes()[0]
    if window_size is None:
        factor = max(min(scale, desktop[0] * 0.94 / size[0], desktop[1] * 0.88 / size[1]), 0.25)
        window_size = round(size[0] * factor), round(size[1] * factor)
    return max(min(window_size[0], desktop[0]), _MINIMUM[0]), max(min(window_size[1], desktop[1]), _MINIMUM[1])


def _set_mode(windowed: tuple[int, int], fullscreen: bool) -> pygame.Surface:
    """Return the display's surface. The screen keeps its resolution: changing it flickers and moves other windows."""
    if fullscreen:
        return pygame.display.set_mode(pygame.display.get_desktop_sizes()[0], pygame.FULLSCREEN)
    for _ in range(2):  # without a window manager, the first call leaves fullscreen mode and the second one resizes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            surface = pygame.display.set_mode(windowed, pygame.RESIZABLE)
        if surface.get_size() == windowed:
            break
        pygame.event.pump()
    return surface


def _pixels(surface: pygame.Surface) -> np.ndarray:
    """Return the surface's memory as u32 (H, W). The surface is locked while the array exists."""
    return pygame.surfarray.pixels2d(surface).T


def _channels(surface: pygame.Surface) -> np.ndarray:
    """Return the surface's memory as u8 (H, W, 4). The surface is locked while the array exists."""
    pixels = _pixels(surface)
    return pixels.view(np.uint8).reshape(*pixels.shape, 4)


def _scale(small: pygame.Surface, target: pygame.Surface) -> None:
    """Scale ``small`` to the size of ``target``: to more pixels by cubic convolution (Keys, "Cubic Convolution
    Interpolation for Digital Image Processing", IEEE Transactions on Acoustics, Speech and Signal Processing 1981),
    which is less blurred than linear interpolation and takes as long; to fewer by their mean.
    """
    (width, height), (wide, high) = small.get_size(), target.get_size()
    if wide < width or high < height:
        pygame.transform.smoothscale(small, target.get_size(), target)
        return
    cv2.resize(_channels(small), (wide, high), dst=_channels(target), interpolation=cv2.INTER_CUBIC)


def _icon() -> pygame.Surface:
    """Return the icon: a street that runs to the horizon."""
    icon = pygame.Surface((32, 32), pygame.SRCALPHA)
    pygame.draw.rect(icon, (70, 130, 180), (0, 0, 32, 16), border_top_left_radius=7, border_top_right_radius=7)
    pygame.draw.rect(icon, (40, 46, 56), (0, 14, 32, 18), border_bottom_left_radius=7, border_bottom_right_radius=7)
    pygame.draw.polygon(icon, (120, 126, 136), [(14, 14), (18, 14), (29, 31), (3, 31)])
    pygame.draw.polygon(icon, (250, 240, 200), [(15, 20), (17, 20), (18, 31), (14, 31)])
    return icon
