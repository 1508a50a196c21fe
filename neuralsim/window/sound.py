"""The synthesised sound of engine, tyres, wind, horn and impacts.

A thread queues short, seamless pieces in pygame's mixer; impacts are separate sounds that start immediately. Without an
audio device there is silently no sound.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pygame

from bridge.messages import Ego

RATE = 22050  # samples per second
PIECE = 1536  # samples synthesised at a time: 70 ms
_IDLE = 850.0  # rpm
_REDLINE = 5600.0  # rpm
_RPM_PER_SPEED = (205.0, 205.0, 124.0, 85.0, 62.0, 49.0)  # rpm per m/s in reverse and gears 1 to 5
_HARMONICS = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])  # of the firing frequency of a four-cylinder engine
_LOUDNESS = np.array([0.30, 1.0, 0.22, 0.55, 0.30, 0.16, 0.08])
_HORN = (415.0, 523.0)  # Hz of its two tones
_GRIP = 7.0  # m/s^2 of lateral acceleration from which the tyres squeal
_NOISE_SECONDS = 3.0


@dataclass
class SoundState:
    """The state of the car that determines the sound. Levels are 0 to 1."""

    speed: float = 0.0  # m/s, in either direction
    throttle: float = 0.0
    gear: int = 1
    squeal: float = 0.0  # of the tyres
    horn: bool = False

    @staticmethod
    def of(ego: Ego, previous: SoundState, lateral: float) -> SoundState:
        """Return the state of ``ego`` at a ``lateral`` acceleration (m/s^2), with levels smoothed from ``previous``."""
        speed = abs(ego.speed)
        sliding = min(max((abs(lateral) - _GRIP) / 3.0, 0.0), 1.0)
        locked = 1.0 if (ego.hand_brake or ego.brake > 0.95) and speed > 4.0 else 0.0
        squeal = previous.squeal + 0.4 * (max(sliding, locked) - previous.squeal)
        return SoundState(speed, ego.throttle, ego.gear, squeal, previous.horn)


def revolutions(speed: float, gear: int, throttle: float) -> float:
    """Return the engine's rpm at ``speed`` (m/s) in ``gear``, with a slipping clutch at low speed."""
    geared = speed * _RPM_PER_SPEED[min(max(gear, 0), len(_RPM_PER_SPEED) - 1)]
    slipping = _IDLE + 900.0 * throttle
    return min(max(geared, slipping), _REDLINE)


class Synthesiser:
    """Makes seamless pieces of sound, deterministically."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        count = int(_NOISE_SECONDS * RATE)
        self._wind = _band(rng, count, 60.0, 700.0)
        self._road = _band(rng, count, 90.0, 1400.0)
        self._squeal = _band(rng, count, 750.0, 1150.0)
        self._at = 0  # position in the noises, samples
        self._phase: np.ndarray = np.zeros(len(_HARMONICS))  # cycles
        self._horn_phase: np.ndarray = np.zeros(len(_HORN))
        self._rpm = _IDLE
        self._gains: np.ndarray = np.zeros(5)  # engine, road, wind, squeal, horn

    def piece(self, state: SoundState, count: int = PIECE) -> np.ndarray:
        """Return the next samples, f32 (count,), -1 to 1."""
        ramp = np.linspace(0.0, 1.0, count, endpoint=False, dtype=np.float32)
        rpm = revolutions(state.speed, state.gear, state.throttle)
        rpm = self._rpm + min(max(rpm - self._rpm, -260.0), 260.0)  # inertia of the engine
        firing = (self._rpm + (rpm - self._rpm) * ramp) / 30.0  # Hz: two of four cylinders fire per revolution
        revolved = np.cumsum(firing) / RATE
        cycles = self._phase[:, None] + _HARMONICS[:, None] * revolved
        engine = (_LOUDNESS[:, None] * np.sin(2.0 * np.pi * cycles)).sum(axis=0) / _LOUDNESS.sum()
        self._phase, self._rpm = cycles[:, -1] % 1.0, rpm
        where = (self._at + np.arange(count)) % len(self._wind)
        self._at = (self._at + count) % len(self._wind)
        steps = np.arange(1, count + 1) / RATE
        plates = self._horn_phase[:, None] + np.outer(_HORN, steps)
        tones = np.sin(2.0 * np.pi * plates)
        horn = (0.6 * np.sign(tones) + 0.4 * tones).mean(axis=0)
        self._horn_phase = plates[:, -1] % 1.0
        fast = state.speed / 30.0
        effort = 0.35 + 0.4 * state.throttle + 0.25 * (rpm - _IDLE) / (_REDLINE - _IDLE)
        gains = np.array(
            [0.30 * effort, 0.16 * min(fast, 1.2), 0.20 * min(fast, 1.5) ** 2, 0.22 * state.squeal, 0.28 * state.horn]
        )
        levels = self._gains[:, None] + (gains - self._gains)[:, None] * ramp  # ramps avoid clicks between pieces
        self._gains = gains
        voices = np.stack([engine, self._road[where], self._wind[where], self._squeal[where], horn])
        return np.tanh((levels * voices).sum(axis=0)).astype(np.float32)


def impact_sound(speed: float, seed: int = 0) -> np.ndarray:
    """Return the sound of an impact that takes ``speed`` m/s, f32 (N,), -1 to 1: a thud, a crunch and debris."""
    strength = min(0.25 + speed / 12.0, 1.0)
    count = int(RATE * (0.25 + 0.5 * strength))
    seconds = np.arange(count) / RATE
    rng = np.random.default_rng(seed)
    thud = np.sin(2.0 * np.pi * (70.0 - 30.0 * seconds) * seconds) * np.exp(-9.0 * seconds)
    crunch = _band(rng, count, 300.0, 4000.0) * np.exp(-(16.0 - 9.0 * strength) * seconds)
    falling = (rng.random(count // 220 + 1) > 0.55).repeat(220)[:count]  # debris hits the ground intermittently
    rattle = _band(rng, count, 1800.0, 3600.0) * np.exp(-5.0 * seconds) * falling
    return (np.tanh(1.6 * (0.9 * thud + 0.7 * crunch + 0.25 * strength * rattle)) * strength).astype(np.float32)


def available() -> bool:
    """Return whether there is an audio device, without SDL, which would print errors to stderr."""
    if os.environ.get("SDL_AUDIODRIVER") or sys.platform != "linux":
        return True
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
    served = any((runtime / name).exists() for name in ("pulse/native", "pipewire-0"))
    return served or bool(os.environ.get("PULSE_SERVER")) or any(Path("/dev/snd").glob("pcm*p"))


class Sound:
    """Plays the sound of ``state``. ``state``, ``volume`` (0 to 1) and ``muted`` may be set at any time."""

    def __init__(self, volume: float) -> None:
        self.volume = volume
        self.state = SoundState()
        self.muted = False
        self.playing = False  # whether there is a device
        self._synthesiser = Synthesiser()
        self._impacts = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._play, name="sound", daemon=True)

    def start(self) -> None:
        """Open the device and start playing in the background."""
        if not self._thread.is_alive() and self.volume > 0.0 and available():
            self._thread.start()

    def play_impact(self, speed: float) -> None:
        """Play an impact that changed the velocity by ``speed`` m/s."""
        if self.playing and not self.muted:
            self._impacts += 1
            with contextlib.suppress(pygame.error):
                sound = pygame.mixer.Sound(buffer=_samples(impact_sound(speed, self._impacts), self.volume))
                sound.play()

    def stop(self) -> None:
        """Stop playing and close the device."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(0.5)
        if self.playing:
            self.playing = False
            pygame.mixer.quit()

    def _play(self) -> None:
        try:
            pygame.mixer.init(RATE, -16, 1, 512, allowedchanges=0)
            pygame.mixer.set_reserved(1)
            channel = pygame.mixer.Channel(0)
        except (pygame.error, NotImplementedError):
            return
        self.playing = True
        with contextlib.suppress(pygame.error):  # the mixer was closed
            while not self._ending.wait(0.5 * PIECE / RATE):
                busy = channel.get_busy()
                if busy and channel.get_queue() is not None:
                    continue
                volume = 0.0 if self.muted else self.volume
                piece = pygame.mixer.Sound(buffer=_samples(self._synthesiser.piece(self.state), volume))
                # If a channel has run dry on a busy machine, a piece queued at that moment would never play.
                (channel.queue if busy else channel.play)(piece)


def _samples(sound: np.ndarray, volume: float) -> bytes:
    return (sound * (32000.0 * volume)).astype("<i2").tobytes()


def _band(rng: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    """Return periodic noise between two frequencies (Hz), f32 (count,), with unit standard deviation."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1.0 / RATE)
    spectrum *= 1.0 / (1.0 + (low / np.maximum(frequency, 1.0)) ** 4) / (1.0 + (frequency / high) ** 4)
    noise = np.fft.irfft(spectrum, count)
    return (noise / max(float(noise.std()), 1e-9)).astype(np.float32)
