"""The textures of CARLA's G-buffer (``listen_to_gbuffer``), as far as a rasteriser without materials has them.

Pictures of BGRA u8, coded as Unreal Engine 4 does: world normals as (n + 1) / 2, depth as a share of 160 m
(``FReadSurfaceDataFlags``), velocity as 0.2495 v + 0.5 of normalised device coordinates (``EncodeVelocityToTexture``).
What there is not (metal, roughness, base colour, ambient occlusion) is black, as in CARLA what a scene does not use.
"""

from __future__ import annotations

import numpy as np

from neuralsim.town.carla_server import camera_images
from neuralsim.town.render.raster import Planes

SCENE_COLOR, SCENE_DEPTH, NORMALS, VELOCITY, CUSTOM_DEPTH, CUSTOM_STENCIL = 0, 1, 3, 9, 11, 12
COUNT = 13  # carla.GBufferTextureID
DEPTH_RANGE = 160.0  # m


def encode(texture: int, planes: Planes, out: np.ndarray, fov: float, pose: np.ndarray) -> None:
    """Write a texture into ``out``, u8 (height * width * 4); the other arguments are those of ``images.encode``."""
    if texture == SCENE_COLOR:
        camera_images.encode("sensor.camera.rgb", planes, out, fov, pose)
    elif texture == NORMALS:
        camera_images.encode("sensor.camera.normals", planes, out, fov, pose)
    else:
        camera_images.encode("", planes._replace(rgb=None), out, fov, pose)  # black
        pixels = out.reshape(*planes.tag.shape, 4)
        if texture in (SCENE_DEPTH, CUSTOM_DEPTH):
            pixels[..., :3] = (np.minimum(planes.depth / DEPTH_RANGE, 1.0) * 255.0 + 0.5).astype(np.uint8)[..., None]
        elif texture == CUSTOM_STENCIL:
            pixels[..., :3] = planes.tag[..., None]
        elif texture == VELOCITY:
            height, width = planes.tag.shape
            moved = planes.motion * np.array([-2.0 / width, 2.0 / height], np.float32)
            pixels[..., 2:0:-1] = np.clip((moved * 0.2495 + 0.5) * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
