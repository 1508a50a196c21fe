"""What is felt of the car: sound that is synthesised, blows with their cause, a picture that shakes."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.messages import Camera, Ego, Frame, Impact
from neuralsim.drive.settings import CockpitSettings
from neuralsim.window.feedback import Feel
from neuralsim.window.sound import PIECE, RATE, Heard, Synthesiser, blow, revolutions


def spectrum(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.rfftfreq(sound.size, 1.0 / RATE), np.abs(np.fft.rfft(sound * np.hanning(sound.size)))


def played(heard: Heard, seconds: float = 2.0) -> np.ndarray:
    synthesiser = Synthesiser()
    return np.concatenate([synthesiser.piece(heard) for _ in range(int(seconds * RATE / PIECE))])


def test_the_engine_sounds_of_its_speed():
    for speed, gear in ((0.0, 1), (10.0, 2), (20.0, 4)):
        sound = played(Heard(speed, 0.3, gear))[-RATE:]
        frequency, strength = spectrum(sound)
        low = frequency < 500.0
        firing = revolutions(speed, gear, 0.3) / 30.0
        peak = frequency[low][np.argmax(strength[low])]
        assert min(abs(peak - part * firing) for part in (0.5, 1.0, 2.0)) < 3.0, (speed, peak, firing)


def test_pieces_go_on_from_each_other_and_never_clip():
    sound = played(Heard(15.0, 1.0, 3, squeal=1.0, horn=False))
    joints = np.abs(np.diff(sound))[PIECE - 1 :: PIECE]
    assert joints.max() < 1.5 * np.percentile(np.abs(np.diff(sound)), 99.9)
    assert 0.05 < np.abs(sound).max() < 1.0


@pytest.mark.parametrize(
    ("louder", "than"),
    [
        (Heard(30.0, 0.3, 5), Heard(0.0, 0.0, 1)),
        (Heard(10.0, 0.3, 2, squeal=1.0), Heard(10.0, 0.3, 2)),
        (Heard(0.0, 0.0, 1, horn=True), Heard(0.0, 0.0, 1)),
    ],
)
def test_wind_tyres_and_horn_are_heard(louder: Heard, than: Heard):
    assert played(louder)[-RATE:].std() > 1.3 * played(than)[-RATE:].std()


def test_a_hard_blow_is_louder_and_longer_than_a_light_one():
    light, hard = blow(1.0), blow(12.0)
    assert hard.size > light.size
    assert (hard**2).sum() > 4.0 * (light**2).sum()
    assert np.abs(hard).max() <= 1.0
    assert np.abs(hard[-20:]).max() < 0.1


def frames(*told: tuple[int, str, float]) -> list[Frame]:
    """Frames with so many collisions, the newest with what and how hard."""
    found = []
    for n, (count, what, speed) in enumerate(told):
        frame = Frame(n, n, n / 30.0, Camera(64, 32, 70.0, np.eye(4)), {}, impact=Impact(what, speed))
        frame.ego = Ego(speed=10.0, gear=2, collisions=count)
        found.append(frame)
    return found


def test_a_collision_is_told_once_with_its_cause_and_shakes_as_hard_as_it_is():
    jolts: list[float] = []
    feel = Feel(CockpitSettings(), jolts.append)
    told = [(0, "", 0.0), (1, "pole", 2.0), (1, "pole", 2.0), (1, "pole", 6.0), (2, "car", 0.1), (0, "", 0.0)]
    said = [feel.frame(frame) for frame in frames(*told)]
    assert said == ["", "Collision 1: a pole, 7 km/h lost", "", "", "Collision 2: a car", ""]
    assert jolts == pytest.approx([0.2, 0.6])
    calm = Feel(CockpitSettings(jolts=False), jolts.append)
    for frame in frames(*told):
        calm.frame(frame)
    assert len(jolts) == 2


class Pad:
    """What is asked of pygame's joystick here."""

    def __init__(self) -> None:
        self.shaken: list[tuple[float, float, int]] = []

    def rumble(self, low: float, high: float, milliseconds: int) -> bool:
        self.shaken.append((low, high, milliseconds))
        return True


def test_a_gamepad_shakes_with_it():
    pad, feel = Pad(), Feel(CockpitSettings(force_feedback=1.0), lambda strength: None)
    for frame in frames((0, "", 0.0), (1, "wall", 10.0), (1, "wall", 10.0)):
        feel.frame(frame, joystick=pad)  # type: ignore[arg-type]
    assert pad.shaken == [(1.0, 1.0, 500)]
