"""A gamepad whose axes and buttons are in another order than an Xbox one's: SDL's own virtual device."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pygame
import pytest

from neuralsim.window import pads as pads_
from neuralsim.window.inputs import Inputs
from neuralsim.window.pads import Pads

#: SDL's order of a PlayStation pad (``SDL_hidapi_ps5.c``): axis 2 is the right stick, 4 and 5 are the triggers.
AXES, BUTTONS = 6, 15
GAMEPAD = 1  # SDL_JOYSTICK_TYPE_GAMECONTROLLER


class VirtualPad:
    """A pad that SDL believes to be there, and the inputs of a drive."""

    def __init__(self, sdl: ctypes.CDLL) -> None:
        sdl.SDL_JoystickFromInstanceID.restype = ctypes.c_void_p
        sdl.SDL_JoystickSetVirtualAxis.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int16]
        sdl.SDL_JoystickSetVirtualButton.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint8]
        self._sdl = sdl
        self.commands: list[str] = []
        self.others: list[pygame.event.Event] = []  # events that a menu would get
        self.inputs = Inputs(self.commands.append, lambda view: None)
        self.pads = Pads()
        self.index = sdl.SDL_JoystickAttachVirtual(GAMEPAD, AXES, BUTTONS, 0)
        assert self.index >= 0
        self.pump()
        assert self.inputs.device is not None
        self._pad = sdl.SDL_JoystickFromInstanceID(self.inputs.device.joystick.get_instance_id())
        for axis, value in ((0, 0.0), (2, 0.0), (4, -1.0), (5, -1.0)):
            self.move(axis, value)

    def pump(self) -> None:
        for raw in pygame.event.get():
            event = self.pads.translated(raw)
            if event is not None:
                self.inputs.handle(event)
                self.others.append(event)

    def move(self, axis: int, value: float) -> None:
        self._sdl.SDL_JoystickSetVirtualAxis(self._pad, axis, round(32767 * value))
        self.pump()

    def press(self, button: int, is_down: bool = True) -> None:
        self._sdl.SDL_JoystickSetVirtualButton(self._pad, button, is_down)
        self.pump()

    def detach(self) -> None:
        self._sdl.SDL_JoystickDetachVirtual(self.index)
        self.pump()


@pytest.fixture
def pad(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualPad]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")
    pygame.display.init()
    loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libSDL2-2" in line}
    if not loaded:
        pytest.skip("SDL 2 is not a library of its own here")
    virtual = VirtualPad(ctypes.CDLL(loaded.pop()))
    yield virtual
    virtual.detach()
    pygame.quit()


def test_the_left_trigger_brakes_and_the_right_stick_does_not(pad: VirtualPad) -> None:
    assert pad.inputs.control(0.1, 0.0).brake == 0.0
    pad.move(2, 1.0)
    assert pad.inputs.control(0.1, 0.0).brake == 0.0
    pad.move(4, 1.0)
    pad.move(0, -1.0)
    now = pad.inputs.control(0.1, 0.0)
    assert (now.brake, now.throttle, now.steer) == pytest.approx((1.0, 0.0, -1.0))
    pad.move(4, -1.0)
    pad.move(5, 0.0)
    now = pad.inputs.control(0.1, 0.0)
    assert (now.brake, now.throttle) == pytest.approx((0.0, 0.5), abs=1e-3)


def test_buttons_have_the_functions_of_their_names(pad: VirtualPad) -> None:
    pad.press(0)  # A, or a cross
    assert pad.inputs.control(0.1, 0.0).hand_brake
    pad.press(0, is_down=False)
    assert not pad.inputs.control(0.1, 0.0).hand_brake
    pad.press(6)  # Start, or Options
    assert pad.commands[-1] == "menu"
    pad.press(4)  # Back, or Share
    assert pad.commands[-1] == "respawn"
    pad.others.clear()
    pad.press(11)  # up, a button of its own
    pad.press(11, is_down=False)
    hats = [event.value for event in pad.others if event.type == pygame.JOYHATMOTION]
    assert hats == [(0, 1), (0, 0)]
    assert not any(event.type == pygame.JOYBUTTONDOWN for event in pad.others)


def test_a_pad_that_is_unplugged_is_gone(pad: VirtualPad) -> None:
    pad.detach()
    assert pad.commands[-1] == "unplugged"
    assert pad.inputs.device is None


def test_a_device_without_a_mapping_keeps_its_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pads_, "controller", None)
    event = pygame.event.Event(pygame.JOYAXISMOTION, instance_id=7, axis=2, value=0.5)
    assert Pads().translated(event) is event
