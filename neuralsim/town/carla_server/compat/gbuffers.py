"""The textures of CARLA's G-buffer (``listen_to_gbuffer``), as far as a rasteriser without materials can provide them.

Images are BGRA u8, encoded as in Unreal Engine 4: world normals as (n + 1) / 2, depth as a fraction of 160 m
(``FReadSurfaceDataFlags``), velocity as 0.2495 v + 0.5 of normalised device coordinates (``EncodeVelocityToTexture``).
Textures that do not exist here (metallic, roughness, base colour, ambient occlusion) are black, like unused ones in
CARLA.
"""

import numpy as np

from neuralsim.town.render.raster import Planes

SCENE_COLOR, SCENE_DEPTH, NORMALS, VELOCITY, CUSTOM_DEPTH, CUSTOM_STENCIL = 0, 1, 3, 9, 11, 12
COUNT = 13  # carla.GBufferTextureID
#: Textures that are the images of other cameras.
CAMERAS = {SCENE_COLOR: "sensor.camera.rgb", NORMALS: "sensor.camera.normals"}
OPAQUE_BLACK = 0xFF000000  # BGRA
DEPTH_RANGE = 160.0  # m


def encode(texture: int, planes: Planes, out: np.ndarray) -> None:
    """Write a texture that is not in ``CAMERAS`` into ``out``, u8 (height * width * 4)."""
    out.view(np.uint32).fill(OPAQUE_BLACK)
    pixels = out.reshape(*planes.tag.shape, 4)
    if texture in (SCENE_DEPTH, CUSTOM_DEPTH):
        pixels[..., :3] = (np.minimum(planes.depth / DEPTH_RANGE, 1.0) * 255.0 + 0.5).astype(np.uint8)[..., None]
    elif texture == CUSTOM_STENCIL:
        pixels[..., :3] = planes.tag[..., None]
    elif texture == VELOCITY:
        height, width = planes.tag.shape
        moved = planes.motion * np.array([-2.0 / width, 2.0 / height], np.float32)
        pixels[..., 2:0:-1] = np.clip((moved * 0.2495 + 0.5) * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
