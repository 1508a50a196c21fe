"""Surface planes for the generator, from the engine's planes: instance edges, sketch and tint.

In training, sketch and tint are taken from real images (``training/data/conditioning.py``). Here they are functions of
the surface point: the same wall has the same windows and colour from everywhere and on every return, at no cost
in memory. Where there is a ``guide`` to what things look like (``neuralsim/guide``), it is followed instead.
Everything is plain tensor arithmetic, exported inside the model's one graph; coordinates stay fp32.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridge.ego_camera import EGO_CAMERA
from neuralsim.facades import draw_fronts, instance_code
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, MOVERS, Channel, is_mover
from neuralsim.models.facade_sketch import Fronts, interleaved
from neuralsim.models.surface_texture import CAMERA_FLOOR, CELL_SIZE, CELLS, TEXTURE_LIMIT, VARIANCE
from neuralsim.models.surfaces import WALL, is_level, is_textured

_EYE = EGO_CAMERA.z  # height of the camera over the ground on which the nearest movers stand, m
_TEXELS = 128  # period of the noise, in cells
_CROWN = 0.6  # weight of both sketches, the surface's and the guide's, in a crown
_CODED = (*MOVERS, Channel.BUILDING)  # classes with a colour by instance

#: Octaves of the surface noise and their weights; and its amplitude in the sketch of each class, both measured on
#: sketches of real images (movers have none: they carry their own shape).
_OCTAVES = ((0, 0.4), (1, 0.4), (3, 0.8))
_NOISE = {
    Channel.ROAD: 0.1, Channel.SIDEWALK: 0.16, Channel.BUILDING: 0.05, Channel.BARRIER: 0.3, Channel.VEGETATION: 0.6,
    Channel.TERRAIN: 0.4, Channel.SKY: 0.25, Channel.OTHER: 0.3, Channel.ROAD_LINE: 0.05,
}  # fmt: skip


def noise_texture(seed: int = 1) -> Tensor:
    """Return f32 (1, 1, 129, 129): periodic value noise of unit variance, first row and column repeated at the end."""
    rng = np.random.default_rng(seed)
    values = np.clip(rng.standard_normal((_TEXELS, _TEXELS)), -2.0, 2.0)
    return torch.from_numpy(np.pad(values, (0, 1), mode="wrap").astype(np.float32))[None, None]


def rows_of_classes() -> Tensor:
    """Return i64 (CHANNELS,): each class's first row in the table of tints; classes with a colour by instance have 256
    rows."""
    first = 256 * len(_CODED) + torch.arange(CHANNELS)
    for place, channel in enumerate(_CODED):
        first[channel] = 256 * place
    return first


class Surface(nn.Module):
    """A module that computes the planes of one frame from tag, instance, depth, camera and style.

    ``palette`` f32 (3, 256, 3): colours by hashed instance for vehicles, persons and cycles, over that which the style
    has for the class; ``facades`` f32 (256, 3): what each building adds to the style's façade colour by day, less in
    less light.
    """

    channel_of_tag: Tensor
    texture: Tensor
    amplitude: Tensor
    first_row: Tensor
    has_codes: Tensor
    palette: Tensor
    facades: Tensor

    def __init__(self, palette: np.ndarray, facades: np.ndarray) -> None:
        super().__init__()
        self.fronts = Fronts(draw_fronts().tone)
        amplitude = torch.zeros(CHANNELS)
        for channel, value in _NOISE.items():
            amplitude[channel] = value
        first = rows_of_classes()
        self.register_buffer("channel_of_tag", torch.from_numpy(CARLA_TO_CHANNEL.astype(np.int64)))
        self.register_buffer("texture", noise_texture())
        self.register_buffer("amplitude", amplitude)
        self.register_buffer("first_row", first)
        self.register_buffer("has_codes", first < 256 * len(_CODED))
        self.register_buffer("palette", torch.from_numpy(np.asarray(palette, np.float32)))
        self.register_buffer("facades", torch.from_numpy(np.asarray(facades, np.float32)))

    def forward(
        self,
        tag: Tensor,
        instance: Tensor,
        depth: Tensor,
        camera: Tensor,
        style: Tensor,
        guide: Tensor | None = None,
        is_image: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return channel map i64 (1, H, W); tint table f32 (rows, 3) and each pixel's row in it i64 (1, H, W); detail
        f32 (1, 2, H/2, W/2): edge, or texture where it ``is_image``, and sketch.

        tag u8 (1, H, W); instance u16 or i32 (1, H, W); depth f32 (1, H, W) m; camera f32 (20,): pose 4x4 row by row
        (world <- camera), then fx, fy, cx, cy in pixels; style f32 (CHANNELS, 3): mean colour of each class, -0.5..0.5;
        guide u8 (1, 4, H, W): its last channel is the sketch of every other pixel, 1..255 for -1..1, 0: none;
        ``is_image``: where it has a sketch, it is an image already, to whose crowns nothing is added, and the generator
        is given a texture.
        """
        label = self.channel_of_tag[tag.to(torch.int64)]
        code = instance_code(instance.to(torch.int64))
        row = self.first_row[label] + torch.where(self.has_codes[label], code, torch.zeros_like(code))
        # detail is coarse by nature: at half size it costs a quarter
        small, code, depth = label[:, ::2, ::2], code[:, ::2, ::2], depth[:, ::2, ::2]
        point, ray = self._points(depth, camera)
        footprint = depth * (2.0 / camera[16])
        rise = F.pad(point[:, :, 1:] - point[:, :, :-1], (0, 0, 0, 1), mode="replicate").abs()
        noise = self._noise(small, point, ray, footprint) * self.amplitude[small]
        # a generator trained on real crowns takes what is bright inside one for sky
        noise = torch.where(small == Channel.VEGETATION, noise.clamp(max=0.4), noise)
        sketch = (
            noise
            + self._facade(small, code, point, rise, footprint)
            + self._bodies(small, code, point[:, 2] - (camera[11] - _EYE), rise)
        )
        if guide is not None:
            sketch = self._guided(small, sketch, guide[:, 3, ::2, ::2].to(torch.float32), is_image)
        if is_image:
            beside = self._pattern(small, point, footprint, camera)
        else:
            beside = self._edges(small, instance[:, ::2, ::2])
        detail = torch.cat([beside, sketch.clamp(-1.0, 1.0)[:, None]], 1)
        return label, self._table(style), row, detail

    def _points(self, depth: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
        """Return world points f32 (1, 3, H/2, W/2) of every other pixel, and the world directions, of unit forward
        length, of their rays."""
        _, height, width = depth.shape
        x = (torch.arange(width, dtype=torch.float32, device=depth.device) * 2.0 + 0.5 - camera[18]) / camera[16]
        y = (torch.arange(height, dtype=torch.float32, device=depth.device) * 2.0 + 0.5 - camera[19]) / camera[17]
        pose = camera[:16].reshape(4, 4)
        # camera axes: x forward, y right, z up
        across = pose[:3, 1].reshape(1, 3, 1, 1) * x.reshape(1, 1, 1, -1)
        down = -pose[:3, 2].reshape(1, 3, 1, 1) * y.reshape(1, 1, -1, 1)
        ray = pose[:3, 0].reshape(1, 3, 1, 1) + across + down
        return pose[:3, 3].reshape(1, 3, 1, 1) + depth[:, None] * ray, ray

    @staticmethod
    def _along(point: Tensor) -> Tensor:
        """Return bool (1, H/2, W/2): across the screen, the surface runs along world x rather than y.

        Of a pixel's steps to its left and right, the smaller ones count: one may lead to another surface.
        """
        step = (point[:, :2, :, 1:] - point[:, :2, :, :-1]).abs()
        step = torch.minimum(F.pad(step, (1, 0, 0, 0), mode="replicate"), F.pad(step, (0, 1, 0, 0), mode="replicate"))
        return step[:, 0] > step[:, 1]

    def _noise(self, label: Tensor, point: Tensor, ray: Tensor, footprint: Tensor) -> Tensor:
        """Return value noise (1, H/2, W/2) on world lattices whose cells are about 2, 4 and 16 footprints.

        Cell sizes are powers of two metres; the two neighbouring ones are blended and renormalised, so that nothing
        pops as one drives closer.
        """
        flat = is_level(label) | (label == Channel.ROAD_LINE)
        sky = label == Channel.SKY
        along = torch.where(self._along(point), point[:, 0], point[:, 1])
        dome = 40.0 / (ray[:, 2].clamp(min=0.0) + 0.12)
        a = torch.where(flat, point[:, 0], along)
        b = torch.where(flat, point[:, 1], point[:, 2])
        a = torch.where(sky, ray[:, 0] * dome, a)
        b = torch.where(sky, ray[:, 1] * dome, b)
        footprint = torch.where(sky, torch.full_like(footprint, 1.2), footprint)
        level = torch.log2(footprint.clamp(min=1e-3) * 2.0)
        low = torch.floor(level)
        share = level - low
        # in periods of the finest lattice; coarser ones are powers of two of it
        place = interleaved(a, b) * (torch.pow(2.0, -low) / _TEXELS)[..., None]
        gain = torch.rsqrt(share.square() + (1 - share).square())
        total = torch.zeros_like(a)
        seen = {octave: self._lookup(place * 2.0**-octave) for octave in (0, 1, 2, 3, 4)}
        for octave, weight in _OCTAVES:
            total = total + weight * gain * ((1 - share) * seen[octave] + share * seen[octave + 1])
        return total

    def _pattern(self, label: Tensor, point: Tensor, footprint: Tensor, camera: Tensor) -> Tensor:
        """Return the texture (1, 1, H/2, W/2): noise of unit contrast (``surface_texture.py``) on world lattices.

        The finest cells cover about ``CELL_SIZE`` pixels; on the ground, the mean of both directions.
        """
        level_ground = is_level(label)
        a = torch.where(level_ground, point[:, 0], torch.where(self._along(point), point[:, 0], point[:, 1]))
        b = torch.where(level_ground, point[:, 1], point[:, 2])
        below = (camera[11] - point[:, 2]).clamp(min=CAMERA_FLOOR)
        lengthened = torch.sqrt((footprint * camera[16] * 0.5 / below).clamp(min=1.0))
        size = torch.where(level_ground, footprint * lengthened, footprint)
        level = torch.log2((CELL_SIZE * size).clamp(min=1e-3))
        low = torch.floor(level)
        share = level - low
        place = interleaved(a, b) * (torch.pow(2.0, -low) / _TEXELS)[..., None]
        seen = [self._lookup(place * 2.0**-octave) for octave in range(len(CELLS) + 1)]
        total = torch.zeros_like(a)
        for octave, (_, weight) in enumerate(CELLS):
            total = total + weight * ((1.0 - share) * seen[octave] + share * seen[octave + 1])
        unit = VARIANCE**-0.5 * torch.rsqrt(share.square() + (1.0 - share).square())
        texture = (total * unit).clamp(-TEXTURE_LIMIT, TEXTURE_LIMIT)
        return torch.where(is_textured(label), texture, torch.zeros_like(texture))[:, None]

    def _lookup(self, place: Tensor) -> Tensor:
        grid = (place - torch.floor(place)) * 2.0 - 1.0
        return F.grid_sample(self.texture, grid, mode="bilinear", padding_mode="border", align_corners=True)[:, 0]

    def _facade(self, label: Tensor, code: Tensor, point: Tensor, rise: Tensor, footprint: Tensor) -> Tensor:
        """Return the sketch (1, H/2, W/2) of the fronts of houses on their upright surfaces."""
        upright = (rise[:, 2] > rise[:, 0] + rise[:, 1]) & (label == Channel.BUILDING)
        along = torch.where(self._along(point), point[:, 0], point[:, 1])
        front = self.fronts(code, along, point[:, 2], footprint)
        return torch.where(upright, front, torch.zeros_like(front))

    @staticmethod
    def _bodies(label: Tensor, code: Tensor, height: Tensor, rise: Tensor) -> Tensor:
        """Return the sketch (1, H/2, W/2) of movers by height over the ground (m) and slope: a car's glass and wheels,
        clothes."""
        steep = rise[:, 2] / (rise[:, 0] + rise[:, 1] + rise[:, 2] + 1e-6)  # 1: upright, 0: level
        glass = torch.sigmoid((height - 0.93) * 40.0) * torch.sigmoid((1.38 - height) * 40.0)
        glass = glass * torch.sigmoid((steep - 0.14) * 30.0)
        wheels = torch.sigmoid((0.34 - height) * 25.0)
        car = 0.35 * (1.0 - steep) - 1.0 * glass - 0.6 * wheels + 0.1
        legs = torch.sigmoid((0.9 - height) * 20.0)
        head = torch.sigmoid((height - 1.5) * 30.0)
        shade = code.to(torch.float32) * (1.2 / 255.0) - 0.6  # trousers darker or lighter than the jacket
        person = shade * legs + 0.35 * head
        nothing = torch.zeros_like(height)
        return torch.where(label == Channel.VEHICLE, car, torch.where(label == Channel.PERSON, person, nothing))

    @staticmethod
    def _guided(label: Tensor, sketch: Tensor, guide: Tensor, is_image: bool) -> Tensor:
        """Return ``sketch`` (1, H/2, W/2) combined with that of the ``guide``: in crowns a share of both, unless it
        ``is_image``, elsewhere the guide's."""
        guided = (guide - 128.0) * (1.0 / 127.0)
        if is_image:
            return torch.where(guide > 0.5, guided, sketch)
        follow = torch.where(label == Channel.VEGETATION, _CROWN * (sketch + guided), guided)
        return torch.where(guide > 0.5, follow, sketch)

    @staticmethod
    def tinted(tint: Tensor, guide: Tensor) -> Tensor:
        """Return ``tint`` f32 (1, 3, H, W), or that of the ``guide`` u8 (1, 4, H, W), 1..255, where it has one."""
        guided = guide[:, :3].to(torch.float32)
        return torch.where(guided[:, :1] > 0.5, guided * (1.0 / 255.0) - 0.5, tint)

    @staticmethod
    def _edges(label: Tensor, instance: Tensor) -> Tensor:
        """Return f32 (1, 1, H/2, W/2): outlines of separate movers, at the strength that averaging gives them in
        training."""
        x = instance[:, None].to(torch.float32)
        differs = F.max_pool2d(x, 3, 1, 1) != -F.max_pool2d(-x, 3, 1, 1)
        mover = is_mover(label)
        return (differs & mover[:, None]).to(torch.float32) * 0.7

    def _table(self, style: Tensor) -> Tensor:
        """Return the tints of one frame, f32 (rows, 3): movers by hashed instance, then façades, then one row for each
        class."""
        # light multiplies: a colour that is black by day cannot become darker than black at night
        light = torch.stack([style[channel] + 0.5 for channel in MOVERS])
        movers = (self.palette * light[:, None]).clamp(0.0, 1.0).reshape(-1, 3) - 0.5
        wall = style[Channel.BUILDING] + 0.5
        facades = wall + self.facades * (wall.mean() / WALL) - 0.5
        return torch.cat([movers, facades, style])
