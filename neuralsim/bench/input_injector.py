"""Inject key presses at random moments, from which input latency is measured."""

import random
import threading
import time
from collections.abc import Callable

import pygame


class InputInjector(threading.Thread):
    """A thread that presses Q, the reverse gear, at random moments, as real key events of the window.

    The measured window lets each of them change the control that goes out; the autopilot drives on unaffected.
    ``pressed`` is called right before each. ``every``: shortest and longest time between two presses, s.
    """

    def __init__(self, pressed: Callable[[], None], every: tuple[float, float], seed: int) -> None:
        super().__init__(name="input injector", daemon=True)
        self._pressed, self._every, self._random = pressed, every, random.Random(seed)

    def run(self) -> None:
        """Press keys until the window closes."""
        while True:
            time.sleep(self._random.uniform(*self._every))
            self._pressed()
            try:
                for kind in (pygame.KEYDOWN, pygame.KEYUP):
                    pygame.event.post(pygame.event.Event(kind, key=pygame.K_q, mod=0, unicode="q", scancode=0))
            except pygame.error:
                return
