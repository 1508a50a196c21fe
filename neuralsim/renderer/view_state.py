"""What belongs to one camera of a renderer, and is new for each; all else is shared and does not change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from neuralsim import runtimes
from neuralsim.renderer.dashcam.dash_camera import DashCamera
from neuralsim.renderer.frame_guide import FrameGuide
from neuralsim.renderer.light import Light
from neuralsim.renderer.trails import Trails
from neuralsim.renderer.upscaling import TemporalUpscaler


@dataclass
class ViewState:
    """The state of one camera.

    Attributes:
        light: Style and fog.
        guide: What makes the guides of its frames.
        size: Width and height of its frames, px; None: no frame was seen yet.
        padded: Height and width of the graph, px.
        session: The loaded graph with the past.
        upscaler: The past where images are composited from windows.
        trails: Where outlines were.
        dash_camera: The dashboard camera, if it films through one.
        frame: Number of the last frame, None before the first.
        times: s, simulated, of the last two frames that were encoded.
        time: s, simulated, of the last frame.
        failed: Runtimes that failed while rendering.
    """

    light: Light
    guide: FrameGuide
    dash_camera: DashCamera | None = None
    size: tuple[int, int] | None = None
    padded: tuple[int, int] = (0, 0)
    session: runtimes.ModelSession | None = None
    upscaler: TemporalUpscaler | None = None
    trails: Trails = field(default_factory=Trails)
    frame: int | None = None
    time: float = 0.0
    times: tuple[float, float] = (-math.inf, -math.inf)
    failed: set[str] = field(default_factory=set)

    def reset(self) -> None:
        """Forget the past, as after a jump of the camera, and be in the chosen light at once."""
        self.frame, self.times = None, (-math.inf, -math.inf)
        self.light.settle()
        parts: Sequence[FrameGuide | Trails | TemporalUpscaler | runtimes.ModelSession | None] = (
            self.guide, self.trails, self.upscaler, self.session,
        )  # fmt: skip
        for part in parts:
            if part is not None:
                part.reset()

    def advance(self, frame: int, time: float) -> None:
        """Move on to ``frame`` at ``time``, s, simulated: the light blends on; a jump back resets the state."""
        if self.frame is not None and frame <= self.frame:
            self.reset()
        if self.frame is None:
            self.light.settle()
        self.frame = frame
        self.light.advance(time - self.time)
        self.time = time

    def elapsed(self, time: float) -> float:
        """Return the time, s, simulated, since the last encoded frame before the one at ``time``; infinite for the
        first one."""
        if time != self.times[1]:
            self.times = self.times[1], time
        return self.times[1] - self.times[0]
