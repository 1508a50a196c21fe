"""No choice of the driver waits for a compiler: what is rendered for it is compiled while the model is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import gc
import numpy as np
from helpers.frames import street
from numba.core.dispatcher import Dispatcher
from bridge.link import motion
from bridge.link.frame_header import pack, unpack
from bridge.messages import Lamp
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.remap import PRESETS

WEATHERS = {
    "noon": {"sun_altitude_angle": 45.0, "sun_azimuth_angle": 0.0},
    "rain": {"sun_altitude_angle": 45.0, "precipitation": 90.0, "cloudiness": 90.0, "wetness": 90.0},
    "night": {"sun_altitude_angle": -90.0, "sun_azimuth_angle": 0.0},
    "wet night": {"sun_altitude_angle": -90.0, "precipitation": 60.0, "wetness": 90.0, "fog_density": 30.0},
}

def compiled():
    kernels = [each for each in gc.get_objects() if isinstance(each, Dispatcher)]
    return {f"{each.py_func.__module__}.{each.py_func.__name__} {kind}" for each in kernels for kind in each.signatures}

def received(number, weather="noon"):
    '''Return a frame as it comes over the link: all of it read-only.'''
    frame = street(number)
    height, width = frame.planes["tag"].shape
    frame.planes[RGB] = np.full((height // 2, width // 2, 3) if RGB == "rgb_half" else (height, width, 3), 99, np.uint8)
    frame.weather = WEATHERS[weather]
    frame.lamps = [Lamp("traffic_light", "red", (5, 5, 9, 9), 10.0), Lamp("street", "on", (5, 5, 9, 9), 10.0)]
    return unpack([bytes(part) for part in pack(frame)])

def new(before):
    print(*sorted(compiled() - before), sep="\\n")
"""
CHOICES = """
renderer = NeuralRenderer(size=(128, 64), threads=1, runtime="onnxruntime")
renderer.render(received(1))
before, number = compiled(), 1
for weather in WEATHERS:
    for guide in ("picture", "exemplars", "surface"):
        for _, remap in ((None, renderer.remap), *PRESETS):
            number += 1
            frame = received(number, weather)
            renderer.set_remap(remap)
            renderer.set_guide(guide)
            renderer.follow(frame.weather)
            renderer.render(frame)
new(before)
"""
#: In a drive these are compiled while the town starts, so before the first frame is rendered.
SKIPPED = """
motion.compile_kernels()
before = compiled()
frames = [received(number) for number in range(3)]
motion.compose(frames[2], frames[1:2], frames[0].camera)
motion.reproject(frames[2].planes["depth"], frames[2].camera, frames[0].camera.pose)
new(before)
"""


@pytest.mark.parametrize("rgb", ["rgb_half", "rgb"])
def test_nothing_is_compiled_during_a_drive(rgb: str):
    """Neither by the first edit, rain, night or guide, nor by the first frame that was skipped."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", f"RGB = {rgb!r}\n{BEGIN}{SKIPPED}{CHOICES}"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n") == ["", "", ""]
