"""Feedback to the driver: synthesised sound, collision messages, camera shake and rumble."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.messages import Camera, Ego, Frame, Impact
from neuralsim.drive.settings import CockpitSettings
from neuralsim.window.feedback import Feedback
from neuralsim.window.sound import PIECE, RATE, SoundState, Synthesiser, impact_sound, revolutions


def spectrum(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.rfftfreq(sound.size, 1.0 / RATE), np.abs(np.fft.rfft(sound * np.hanning(sound.size)))


def played(state: SoundState, seconds: float = 2.0) -> np.ndarray:
    synthesiser = Synthesiser()
    return np.concatenate([synthesiser.piece(state) for _ in range(int(seconds * RATE / PIECE))])


def test_the_engine_sound_matches_its_speed():
    for speed, gear in ((0.0, 1), (10.0, 2), (20.0, 4)):
        sound = played(SoundState(speed, 0.3, gear))[-RATE:]
        frequency, strength = spectrum(sound)
        low = frequency < 500.0
        firing = revolutions(speed, gear, 0.3) / 30.0
        peak = frequency[low][np.argmax(strength[low])]
        assert min(abs(peak - part * firing) for part in (0.5, 1.0, 2.0)) < 3.0, (speed, peak, firing)


def test_pieces_are_seamless_and_never_clip():
    sound = played(SoundState(15.0, 1.0, 3, squeal=1.0, horn=False))
    joints = np.abs(np.diff(sound))[PIECE - 1 :: PIECE]
    assert joints.max() < 1.5 * np.percentile(np.abs(np.diff(sound)), 99.9)
    assert 0.05 < np.abs(sound).max() < 1.0


@pytest.mark.parametrize(
    ("louder", "than"),
    [
        (SoundState(30.0, 0.3, 5), SoundState(0.0, 0.0, 1)),
        (SoundState(10.0, 0.3, 2, squeal=1.0), SoundState(10.0, 0.3, 2)),
        (SoundState(0.0, 0.0, 1, horn=True), SoundState(0.0, 0.0, 1)),
    ],
)
def test_wind_tyres_and_horn_are_audible(louder: SoundState, than: SoundState):
    assert played(louder)[-RATE:].std() > 1.3 * played(than)[-RATE:].std()


def test_a_hard_impact_is_louder_and_longer_than_a_light_one():
    light, hard = impact_sound(1.0), impact_sound(12.0)
    assert hard.size > light.size
    assert (hard**2).sum() > 4.0 * (light**2).sum()
    assert np.abs(hard).max() <= 1.0
    assert np.abs(hard[-20:]).max() < 0.1


def frames(*collisions: tuple[int, str, float]) -> list[Frame]:
    """Return frames with a number of collisions, and what was hit last and how hard."""
    frames = []
    for n, (count, what, speed) in enumerate(collisions):
        frame = Frame(n, n, n / 30.0, Camera(64, 32, 70.0, np.eye(4)), {}, impact=Impact(what, speed))
        frame.ego = Ego(speed=10.0, gear=2, collisions=count)
        frames.append(frame)
    return frames


def test_a_collision_is_reported_once_with_its_cause_and_shakes_in_proportion():
    jolts: list[float] = []
    feedback = Feedback(CockpitSettings(), jolts.append)
    collisions = [(0, "", 0.0), (1, "pole", 2.0), (1, "pole", 2.0), (1, "pole", 6.0), (2, "car", 0.1), (0, "", 0.0)]
    messages = [feedback.update(frame) for frame in frames(*collisions)]
    assert messages == ["", "Collision 1: a pole, 7 km/h lost", "", "", "Collision 2: a car", ""]
    assert jolts == pytest.approx([0.2, 0.6])
    calm = Feedback(CockpitSettings(jolts=False), jolts.append)
    for frame in frames(*collisions):
        calm.update(frame)
    assert len(jolts) == 2


class Pad:
    """The part of pygame's joystick that is used here."""

    def __init__(self) -> None:
        self.shaken: list[tuple[float, float, int]] = []

    def rumble(self, low: float, high: float, milliseconds: int) -> bool:
        self.shaken.append((low, high, milliseconds))
        return True


def test_a_gamepad_rumbles_on_impact():
    pad, feedback = Pad(), Feedback(CockpitSettings(force_feedback=1.0), lambda strength: None)
    for frame in frames((0, "", 0.0), (1, "wall", 10.0), (1, "wall", 10.0)):
        feedback.update(frame, joystick=pad)  # type: ignore[arg-type]
    assert pad.shaken == [(1.0, 1.0, 500)]
