"""Gamepads of any make, as if each had the layout of an Xbox one: SDL knows the places of their axes and buttons."""

import pygame

try:
    from pygame._sdl2 import controller
except ImportError:  # a pygame that is built without it
    controller = None  # type: ignore[assignment]

_WHEEL_NAMES = ("wheel", "g25", "g27", "g29", "g920", "g923", "driving force", "thrustmaster t", "fanatec", "moza")
_FULL = 32767.0
#: SDL's names, in its order -> XInput's numbers on Linux.
_AXES = {
    pygame.CONTROLLER_AXIS_LEFTX: 0,
    pygame.CONTROLLER_AXIS_LEFTY: 1,
    pygame.CONTROLLER_AXIS_TRIGGERLEFT: 2,
    pygame.CONTROLLER_AXIS_RIGHTX: 3,
    pygame.CONTROLLER_AXIS_RIGHTY: 4,
    pygame.CONTROLLER_AXIS_TRIGGERRIGHT: 5,
}
_TRIGGERS = (pygame.CONTROLLER_AXIS_TRIGGERLEFT, pygame.CONTROLLER_AXIS_TRIGGERRIGHT)
_BUTTONS = {
    pygame.CONTROLLER_BUTTON_A: 0,
    pygame.CONTROLLER_BUTTON_B: 1,
    pygame.CONTROLLER_BUTTON_X: 2,
    pygame.CONTROLLER_BUTTON_Y: 3,
    pygame.CONTROLLER_BUTTON_LEFTSHOULDER: 4,
    pygame.CONTROLLER_BUTTON_RIGHTSHOULDER: 5,
    pygame.CONTROLLER_BUTTON_BACK: 6,
    pygame.CONTROLLER_BUTTON_START: 7,
    pygame.CONTROLLER_BUTTON_GUIDE: 8,
    pygame.CONTROLLER_BUTTON_LEFTSTICK: 9,
    pygame.CONTROLLER_BUTTON_RIGHTSTICK: 10,
}
_CROSS = {
    pygame.CONTROLLER_BUTTON_DPAD_UP: (0, 1),
    pygame.CONTROLLER_BUTTON_DPAD_DOWN: (0, -1),
    pygame.CONTROLLER_BUTTON_DPAD_LEFT: (-1, 0),
    pygame.CONTROLLER_BUTTON_DPAD_RIGHT: (1, 0),
}
_RAW = (pygame.JOYAXISMOTION, pygame.JOYBUTTONDOWN, pygame.JOYBUTTONUP, pygame.JOYHATMOTION)


def is_wheel(name: str) -> bool:
    """Return whether a device of this name is a steering wheel."""
    return any(part in name.lower() for part in _WHEEL_NAMES)


class Pads:
    """Replaces the events of gamepads that SDL has a mapping for; those of other devices and of wheels stay.

    Which axis is a trigger depends on the make and on the driver: axis 2 is the left trigger of an Xbox pad and the
    right stick of a PlayStation one.
    """

    def __init__(self) -> None:
        self._mapped: dict[int, controller.Controller] = {}  # by instance
        if controller is not None and not controller.get_init():
            controller.init()

    def translated(self, event: pygame.event.Event) -> pygame.event.Event | None:
        """Return the event to handle instead of ``event``: itself, one in XInput's numbers, or None for none."""
        if event.type == pygame.CONTROLLERDEVICEADDED:
            self._open(event.device_index)
        elif event.type == pygame.JOYDEVICEREMOVED:
            self._mapped.pop(event.instance_id, None)
        elif getattr(event, "instance_id", None) in self._mapped:
            if event.type in _RAW:
                return None  # it comes by its name as well
            if event.type == pygame.CONTROLLERAXISMOTION:
                return _axis(event)
            if event.type in (pygame.CONTROLLERBUTTONDOWN, pygame.CONTROLLERBUTTONUP):
                return _button(event)
        return event

    def _open(self, index: int) -> None:
        try:
            pad = controller.Controller(index)
        except pygame.error:  # it is gone already
            return
        if not is_wheel(pad.name):
            self._mapped[pad.as_joystick().get_instance_id()] = pad  # its own number is another one


def _axis(event: pygame.event.Event) -> pygame.event.Event | None:
    if event.axis not in _AXES:
        return None
    value = max(event.value / _FULL, -1.0)
    if event.axis in _TRIGGERS:
        value = 2.0 * value - 1.0
    return pygame.event.Event(pygame.JOYAXISMOTION, instance_id=event.instance_id, axis=_AXES[event.axis], value=value)


def _button(event: pygame.event.Event) -> pygame.event.Event | None:
    is_down = event.type == pygame.CONTROLLERBUTTONDOWN
    if event.button in _CROSS:
        value = _CROSS[event.button] if is_down else (0, 0)
        return pygame.event.Event(pygame.JOYHATMOTION, instance_id=event.instance_id, hat=0, value=value)
    if event.button not in _BUTTONS:
        return None
    kind = pygame.JOYBUTTONDOWN if is_down else pygame.JOYBUTTONUP
    return pygame.event.Event(kind, instance_id=event.instance_id, button=_BUTTONS[event.button])
