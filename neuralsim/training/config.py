"""Settings of a training run: ``neuralsim train CONFIG.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bridge.process import settings

if TYPE_CHECKING:
    from neuralsim.models.generator import GeneratorConfig


class Source(BaseModel):
    """One data set of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str  # its folder
    name: str = ""  # one of neuralsim.training.data.datasets.DATASETS; "": images/ and labels/ of your own
    classes: str = ""  # class map, a shipped one's name or a .yaml file; "": the data set's
    share: float = Field(1.0, gt=0)  # of the examples, against the other sources'
    splits: list[str] = []  # folders of the data set, such as train; none: those its benchmark trains on
    rows: float | None = Field(None, gt=0, le=1)  # share of the rows, from the top, that is used: no bonnet
    sequence: bool = False  # its pictures, in the order of their names, are frames of videos, one video a folder

    @model_validator(mode="after")
    def _known(self) -> Source:
        if not self.name and not self.classes:
            raise ValueError("needs `name` of a known data set, or `classes` for images/ and labels/ of your own")
        return self


class TrainConfig(BaseModel):
    """Everything a run depends on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    renamed: ClassVar[dict[str, str]] = {"judge_rate": "discriminator_rate"}  # settings of before

    out: str = "runs/street-rt"
    size: Literal["street-rt", "street", "street-hq"] = "street-rt"  # neuralsim.models.generator.SIZES
    model: dict[str, Any] = {}  # settings of neuralsim.models.generator.GeneratorConfig that are not the size's
    start: str = ""  # a model whose weights it begins with, a shipped one's name or a folder; discriminators are new
    teacher: str = ""  # a model whose pictures of `simulated` it learns from, a shipped one's name or a folder
    data: list[Source] = []
    memory: float = Field(2.0, ge=0)  # GB for decoded pictures
    workers: int = Field(1, ge=1)  # threads that make examples
    simulated: str = ""  # folder of .npz frame pairs made by neuralsim.training.data.simulated_pairs
    width: int = Field(512, ge=64, multiple_of=32)  # px
    height: int = Field(256, ge=32, multiple_of=32)  # px
    zoom: float = Field(1.45, ge=1.45, le=4)  # of a crop at most, over what just fills it; beyond 1.45 only as far as
    # the picture's own resolution goes
    batch: int = Field(2, ge=1)  # of each process
    accumulate: int = Field(1, ge=1)  # batches whose gradients make one step
    precision: Literal["bf16", "fp32"] = "bf16"  # of the activations; weights and optimiser are fp32
    steps: int = Field(20_000, ge=1)
    rate: float = Field(5e-4, gt=0)  # Adam, painter
    discriminator_rate: float = Field(2e-4, gt=0)  # Adam, discriminator
    warmup: int = Field(100, ge=1)  # steps until the full rate, also after a resume with other settings
    ema: float = Field(0.998, ge=0, lt=1)
    # Weights of the losses; 0: off, and not computed. docs/generator.md says where each is from.
    gan: Literal["hinge", "lsgan"] = "hinge"  # of all discriminators
    adversarial: float = Field(1.5, ge=0)  # projected discriminator D_I
    adversarial_from: int = 150  # step until which the painter only learns to reconstruct
    adversarial_ramp: int = Field(600, ge=1)  # steps until the full weight of all discriminators after that
    networks: list[Literal[0, 1]] = Field([1], min_length=1)  # EfficientNet-Lite variants whose features the losses use
    frechet: float = Field(0.0, ge=0)  # Fréchet distance of painted map pairs from pictures: training/frechet.py
    frechet_town: float = Field(0.0, ge=0)  # the same of frames of the town
    frechet_objects: float = Field(0.0, ge=0)  # the same of the crops of `objects`, of both
    patches: float = Field(0.0, ge=0)  # multi-scale PatchGAN D_I
    segmentation: float = Field(0.0, ge=0)  # segmentation discriminator; begin with 0.1
    label_mix: float = Field(0.0, ge=0)  # its consistency on mixtures of painted and real, on real pictures
    objects: float = Field(0.0, ge=0)  # discriminator and features on crops of vehicles, people and cycles
    video: float = Field(0.0, ge=0)  # video discriminator D_V, on rollouts; begin with 0.1
    matching: float = Field(0.0, ge=0)  # features of the PatchGANs and of D_V, as far as those are on
    features: float = Field(4.0, ge=0)
    pixels: float = Field(6.0, ge=0)
    flow: float = Field(0.0, ge=0)  # L_W: the flow head's motion, on rollouts
    occlusion: float = Field(0.0, ge=0)  # the mask against what was hidden before, on rollouts
    steady: float = Field(0.0, ge=0)  # L1 between a frame of a rollout and the warped one before
    simulated_every: int = Field(0, ge=0)  # 0: real pictures only; n: every n-th step paints simulator frames
    map_pairs: float = Field(0.0, ge=0, lt=1)  # share of `simulated` made of the pictures' labels: map_pairs.py
    equivariance: float = Field(4.0, ge=0)  # L1 between a painted simulator frame and the warped one before
    tone: float = Field(20.0, ge=0)  # how far its luminance strays from tint and sketch, beyond what textures do
    hue: float = Field(40.0, ge=0)  # how far a simulator frame's chroma strays from its tint, beyond what textures do
    half_until: int = Field(0, ge=0)  # step until which everything is half as wide and high (vid2vid's coarse to fine)
    rollout: int = Field(0, ge=0, le=64)  # frames of the longest rollout; 0: the painter learns frame by frame
    rollout_every: int = Field(2, ge=1)  # every n-th step is a rollout
    rollout_from: int = Field(2, ge=2)  # frames of the first rollouts
    rollout_double: int = Field(2000, ge=1)  # steps until rollouts are twice as long, and again
    rollout_stills: float = Field(1.0, ge=0)  # share of rollouts on stills that are set in motion
    rollout_clips: float = Field(0.0, ge=0)  # on real video: sources with `sequence: true`
    rollout_maps: float = Field(0.0, ge=0)  # on map pairs of `simulated` that are set in motion
    rollout_town: float = Field(0.0, ge=0)  # on drives of the town, from `simulated`
    rollout_width: int = Field(0, ge=0, multiple_of=32)  # px of their windows; 0: whole frames, at `width` x `height`
    rollout_height: int = Field(0, ge=0, multiple_of=32)
    rollout_settle: int = Field(0, ge=0)  # first frames of a rollout that are not judged: its past is young there
    rollout_sharpening: float = Field(0.0, ge=0)  # of rollouts' pictures before they are judged: the card's, as shown
    save_every: int = Field(100, ge=1)
    panels_every: int = Field(100, ge=1)  # steps between two pictures for TensorBoard, where that is installed
    minutes: float = Field(0.0, ge=0)  # stop after this long, 0 = by steps
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> TrainConfig:
        if self.simulated_every and not self.simulated:
            raise ValueError("`simulated_every` needs `simulated`, the folder for frames of the town")
        if self.frechet_objects and not self.objects:
            raise ValueError("`frechet_objects` needs `objects`, which cuts them out")
        if self.rollout and self.rollout_town + self.rollout_maps and not self.simulated:
            raise ValueError("`rollout_town` and `rollout_maps` need `simulated`, the folder for frames of the town")
        if self.rollout_width > self.width or self.rollout_height > self.height:
            raise ValueError("windows of rollouts are not larger than the frames")
        if self.half_until and (self.width % 64 or self.height % 64):
            raise ValueError("`half_until` needs a width and height that are multiples of 64")
        if not (self.adversarial or self.patches or self.features or self.pixels):
            raise ValueError("nothing to learn from: `adversarial`, `patches`, `features` and `pixels` are all 0")
        if not self.rollout:
            if self.video or self.flow or self.occlusion or self.steady:
                raise ValueError("`video`, `flow`, `occlusion` and `steady` are losses of rollouts: set `rollout`")
            return self
        if self.rollout < self.rollout_from:
            raise ValueError("`rollout` is the longest: not less than `rollout_from`")
        if self.rollout_settle >= self.rollout_from:
            raise ValueError("`rollout_settle` leaves nothing to judge of `rollout_from` frames")
        if not self.rollout_stills + self.rollout_clips + self.rollout_maps + self.rollout_town:
            raise ValueError("rollouts of what? `rollout_stills`, `_clips`, `_maps` or `_town` above 0")
        if self.rollout_clips and not any(source.sequence for source in self.data):
            raise ValueError("`rollout_clips` needs a source with `sequence: true`")
        return self

    def painter(self) -> GeneratorConfig:
        """The painter's sizes. Raises ValueError for settings in ``model`` that it does not have or that cannot be."""
        from neuralsim.models.generator import SIZES, GeneratorConfig

        try:
            return GeneratorConfig.from_dict(SIZES[self.size].as_dict() | self.model)
        except TypeError:
            unknown = ", ".join(sorted(set(self.model) - set(SIZES[self.size].as_dict())))
            raise ValueError(f"`model` has no setting {unknown}") from None

    def frames_at(self, step: int) -> int:
        """Frames of a rollout at ``step``: twice as many every ``rollout_double`` steps (vid2vid, section 3.3)."""
        return min(self.rollout, self.rollout_from * 2 ** min(6, step // self.rollout_double))

    def size_at(self, step: int) -> tuple[int, int]:
        """Width and height, px, that are trained at in ``step``."""
        half = step < self.half_until
        return (self.width // 2, self.height // 2) if half else (self.width, self.height)

    def is_rollout(self, step: int) -> bool:
        return self.rollout > 0 and step % self.rollout_every == self.rollout_every - 1

    def is_simulated(self, step: int) -> bool:
        return self.simulated_every > 0 and step % self.simulated_every == 0 and not self.is_rollout(step)


def load_config(path: Path) -> TrainConfig:
    """Read a run's YAML. Raises ValueError, one line, for a setting that does not exist or cannot be."""
    return settings.load(path, TrainConfig)
