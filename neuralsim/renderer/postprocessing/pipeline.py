"""The steps of the postprocessing in their order, but for the clamp of colours, which follows the network at once."""

from __future__ import annotations

import numpy as np

from bridge.weather import darkness, effective_weather, wetness
from neuralsim.renderer.frame_renderer import FrameInputs
from neuralsim.renderer.postprocessing import (
    antialiasing,
    colour_clamp,
    contrasts,
    detail,
    ground_shading,
    highlights,
    leaves,
    motion_blur,
    sharpening,
    wall_colours,
)
from neuralsim.renderer.weather import camera_response, fog, glow, night, rain, sky


def postprocess(
    image: np.ndarray,
    inputs: FrameInputs,
    simulated: np.ndarray | None,
    sharpness: float,
    antialias: bool,
    wide_range: bool = False,
) -> None:
    """Sharpen an image, draw sky, fog, rain and lamps, anti-alias its edges and expose it, in place.

    Args:
        image: u8 (H, W, 3), RGB, as generated, with clamped colours.
        inputs: That it was generated from.
        simulated: u8 (H, W, 3), the simulator image that it follows, or of half of that size; None: it follows none.
        sharpness: The ``sharpening`` of the model's card, 0 = none.
        antialias: Whether edges are anti-aliased.
        wide_range: Whether the sensor has a wide range, see ``sky.sky_of``.
    """
    frame, planes, tag = inputs.frame, inputs.frame.planes, inputs.tensors["tag"]
    weather = effective_weather(frame.weather) if frame.weather else None
    dark = darkness(weather or {})
    if simulated is not None:
        unedited = unedited_tags(inputs)
        mirrors = (1.0 - dark) * wetness(weather or {})  # by night the generator follows the guide's colours there
        ground_shading.follow_shading(image, unedited, simulated, mirrors)
        if "depth" in planes:
            ground_shading.close_contacts(image, tag, planes["depth"], frame.camera.focal)
            detail.transfer_detail(image, unedited, planes["depth"], simulated, frame.camera.focal)
        highlights.recover_highlights(image, unedited, simulated, 1.0 - dark)
        contrasts.follow_contrasts(image, unedited, simulated, 1.0 - dark)
        wall_colours.even_walls(image, unedited, simulated, 1.0 - dark)
        leaves.even_crowns(image, tag)
        night.dim_poles(image, unedited, simulated, dark)
    if sharpness:
        sharpening.sharpen(image, tag, sharpness)
    sharpening.remove_specks(image, tag)
    if "depth" in planes:
        sharpening.raise_contrast_of_people(image, tag, 1.0 - dark, planes["depth"])
        sharpening.soften_far_roads(image, tag, planes["depth"], frame.camera.focal)
        leaves.draw_leaves(image, tag, planes["depth"], frame.camera)
    if weather is not None:
        now = sky.sky_of(weather, inputs.style, frame.sim_time, wide_range)
        glow.add_veil(image, now)
        sky.draw_sky(image, tag, frame.camera, now)
        night.dim_rims(image, tag, dark)
    if "depth" in planes:
        fog.apply_fog(image, planes["depth"], inputs.fog, inputs.style)
    if antialias:
        antialiasing.antialias_edges(image, tag, inputs.tensors.get("instance", planes["instance"]))
        sharpening.soften_gaps(image, tag)
    if weather is not None:
        rain.draw_rain(image, weather, frame.sim_time)
        camera_response.mute_colours(image, 1.0 - dark)
    glow.draw_lamps(image, frame, inputs.remap, simulated)
    if weather is not None:
        glow.add_glare(image, tag, frame.camera, now)
        glow.add_glow(image, tag, dark)
        if "motion" in planes and "depth" in planes:
            motion_blur.blur_by_motion(image, planes["motion"], planes["depth"], inputs.elapsed, dark)
        camera_response.expose(image, inputs.gains, 1.0 - dark)
        camera_response.blur_by_lens(image, 1.0 - dark)
        sharpening.sharpen_in_camera(image, tag, 1.0 - dark)
        night.add_noise(image, dark, frame.sim_time)


def compile_kernels() -> None:
    """Compile what a frame would wait for."""
    of_surfaces = (
        antialiasing,
        colour_clamp,
        detail,
        ground_shading,
        highlights,
        contrasts,
        leaves,
        motion_blur,
        wall_colours,
    )
    for step in (*of_surfaces, sky, fog, glow, rain):
        step.compile_kernels()


def unedited_tags(inputs: FrameInputs) -> np.ndarray:
    """Return the tags of a frame, 0 where they are edited: there the simulator image shows something else."""
    tag = inputs.tensors["tag"]
    if not inputs.remap:
        return tag
    before = inputs.frame.planes["tag"]
    height, width = before.shape
    return np.where(tag[:height, :width] == before, before, 0)
