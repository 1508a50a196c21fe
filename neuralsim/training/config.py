"""Settings of a training run: ``neuralsim model train CONFIG.yaml``.

A file has one mapping per section below. With ``stages``, a list of mappings, a run has several parts, one after the
other: each stage says its ``steps`` and overrides what it changes, and begins with the averaged weights of the stage
before; discriminators, optimisers and the count of steps begin again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bridge.process import settings
from bridge.process.settings import Lines, Problem, SettingsError
from neuralsim.base.log import logger

if TYPE_CHECKING:
    from neuralsim.models.generator import GeneratorConfig

#: Settings of a generator that may change from stage to stage: no weight depends on them.
_FREE = ("pool", "blend_factor", "blend_movers", "clip_gamma")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Source(_Section):
    """One data set of a run."""

    root: str
    """Folder of the data set."""
    name: str = ""
    """One of neuralsim.training.data.datasets.DATASETS; empty: images/ and labels/ of your own."""
    classes: str = ""
    """Class map: the name of a shipped one, or a .yaml file; empty: the data set's own."""
    share: float = Field(default=1.0, gt=0)
    """Weight of this source among all sources when examples are drawn."""
    splits: list[str] = []
    """Folders of the data set to use, such as train; empty: those that its benchmark trains on."""
    rows: float | None = Field(default=None, gt=0, le=1)
    """Share of the rows, from the top, that is used, to leave out the bonnet."""
    sequence: bool = False
    """Whether its images, in the order of their names, are frames of videos, one video per folder."""

    @model_validator(mode="after")
    def _known(self) -> Source:
        if not self.name and not self.classes:
            raise ValueError("needs `name` of a known data set, or `classes` for images/ and labels/ of your own")
        return self


class DataConfig(_Section):
    """What a run learns from."""

    sources: list[Source] = []
    """Labelled images."""
    memory: float = Field(default=2.0, ge=0)
    """Memory for decoded images, GB."""
    workers: int = Field(default=1, ge=1)
    """Threads that make examples."""
    width: int = Field(default=512, ge=64, multiple_of=32)
    """Width of an example, px."""
    height: int = Field(default=256, ge=32, multiple_of=32)
    """Height of an example, px."""
    window_width: int = Field(default=0, ge=0, multiple_of=32)
    """Width of the part of an example that a step sees, px; 0: all of it. Without bf16 in hardware, a quarter of the
    pixels lets four times as many steps be made."""
    window_height: int = Field(default=0, ge=0, multiple_of=32)
    """Height of that part, px; 0: all of it."""
    half_until: int = Field(default=0, ge=0)
    """Step until which everything has half the width and height (vid2vid's coarse to fine)."""
    zoom: float = Field(default=1.45, ge=1.45, le=4)
    """Largest magnification of a crop over the scale that just fills it; beyond 1.45 only up to the image's own
    resolution."""
    simulated: str = ""
    """Folder of .npz frame pairs; filled by neuralsim.training.data.simulated_pairs when it is empty."""
    simulated_every: int = Field(default=0, ge=0)
    """Every n-th step learns from simulator frames; 0: real images only."""
    map_pairs: float = Field(default=0.0, ge=0, lt=1)
    """Share of `simulated` that is made from the labels of the images (neuralsim.training.data.map_pairs)."""
    simulators: list[Source] = []
    """Labelled images of other simulators, which a guided generator sees beside those of the towns."""
    simulator_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of them among simulator frames."""


class ModelConfig(_Section):
    """The generator that is trained."""

    size: Literal["street-guided", "street-rt", "street"] = "street-rt"
    """One of neuralsim.models.generator.SIZES."""
    settings: dict[str, Any] = {}
    """Settings of neuralsim.models.generator.GeneratorConfig that differ from those of the size."""
    start: str = ""
    """Model whose weights the first stage begins with: the name of a shipped one, or a folder, with new discriminators;
    or a state by `neuralsim model export --state`, with its own."""
    teacher: str = ""
    """Model whose images of the towns a guided generator learns from, recorded with them: the name of a shipped one, or
    a folder."""


class LossConfig(_Section):
    """Weights of the losses; a loss of weight 0 is off, and not computed. docs/guide/generator.md has the sources."""

    gan: Literal["hinge", "lsgan"] = "hinge"
    """Adversarial loss of all discriminators."""
    adversarial: float = Field(default=1.5, ge=0)
    """Projected discriminator D_I."""
    adversarial_from: int = 150
    """Step until which the generator only learns to reconstruct."""
    adversarial_ramp: int = Field(default=600, ge=1)
    """Steps after that until all discriminators have their full weight."""
    networks: list[Literal[0, 1]] = Field(default=[1], min_length=1)
    """EfficientNet-Lite variants whose features the losses use."""
    frechet: float = Field(default=0.0, ge=0)
    """Fréchet distance between generated map pairs and real images (neuralsim.training.frechet)."""
    frechet_town: float = Field(default=0.0, ge=0)
    """Fréchet distance between generated town frames and real images."""
    frechet_classes: float = Field(default=0.0, ge=0)
    """Fréchet distance class by class, of both map pairs and town frames."""
    frechet_objects: float = Field(default=0.0, ge=0)
    """Fréchet distance of the crops of `objects`, of both map pairs and town frames."""
    patches: float = Field(default=0.0, ge=0)
    """Multi-scale PatchGAN D_I."""
    segmentation: float = Field(default=0.0, ge=0)
    """Segmentation discriminator; begin with 0.1."""
    label_mix: float = Field(default=0.0, ge=0)
    """Consistency of the segmentation discriminator on mixtures of generated and real, on real images."""
    objects: float = Field(default=0.0, ge=0)
    """Discriminator and features on crops of vehicles, people and cycles."""
    video: float = Field(default=0.0, ge=0)
    """Video discriminator D_V, on rollouts; begin with 0.1."""
    matching: float = Field(default=0.0, ge=0)
    """Feature matching in the PatchGANs and in D_V, where those are on."""
    features: float = Field(default=4.0, ge=0)
    """Perceptual distance from the real image."""
    taught: float = Field(default=0.0, ge=0)
    """Perceptual distance of town frames from the images of `model.teacher`."""
    taught_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps on town frames in which discriminators and Fréchet distances compare them with those images
    instead of photographs."""
    contrast: float = Field(default=0.0, ge=0)
    """How far the contrast of textures is from that of the real image, or of a teacher's, by class and octave."""
    pattern: float = Field(default=0.0, ge=0)
    """How far the brightness of textured surfaces is from that of the real image, of a guided generator."""
    pixels: float = Field(default=6.0, ge=0)
    """L1 distance of means of 4x4 pixels, and of simulator frames from the colours of their tints."""
    flow: float = Field(default=0.0, ge=0)
    """L_W: error of the flow head's motion, on rollouts."""
    occlusion: float = Field(default=0.0, ge=0)
    """Error of the occlusion mask against what was hidden before, on rollouts."""
    steady: float = Field(default=0.0, ge=0)
    """L1 between a frame of a rollout and the warped frame before."""
    equivariance: float = Field(default=4.0, ge=0)
    """L1 between a generated simulator frame and the warped frame before."""
    tone: float = Field(default=20.0, ge=0)
    """How far luminance strays from tint and sketch, beyond what textures do."""
    hue: float = Field(default=40.0, ge=0)
    """How far a simulator frame's chroma strays from its tint, beyond what textures do."""


class RolloutConfig(_Section):
    """Steps on consecutive frames, in which the generator sees its own output."""

    frames: int = Field(default=0, ge=0, le=64)
    """Frames of the longest rollout; 0: the generator learns frame by frame."""
    every: int = Field(default=2, ge=1)
    """Every n-th step is a rollout."""
    first_frames: int = Field(default=2, ge=2)
    """Frames of the first rollouts."""
    double_every: int = Field(default=2000, ge=1)
    """Steps until rollouts are twice as long, and again."""
    stills: float = Field(default=1.0, ge=0)
    """Share of rollouts on stills that are set in motion."""
    clips: float = Field(default=0.0, ge=0)
    """Share of rollouts on real video: sources with `sequence: true`."""
    maps: float = Field(default=0.0, ge=0)
    """Share of rollouts on map pairs of `data.simulated` that are set in motion."""
    town: float = Field(default=0.0, ge=0)
    """Share of rollouts on drives through the towns, from `data.simulated`."""
    width: int = Field(default=0, ge=0, multiple_of=32)
    """Width of their windows, px; 0: that of the frames."""
    height: int = Field(default=0, ge=0, multiple_of=32)
    """Height of their windows, px; 0: that of the frames."""
    settle: int = Field(default=0, ge=0)
    """First frames of a rollout that no loss sees, because their past is short."""
    sharpening: float = Field(default=0.0, ge=0)
    """Sharpening of the frames before the losses see them: that of the model's card, as a drive shows them."""


class OptimiserConfig(_Section):
    """Batches, rates and precision."""

    batch: int = Field(default=2, ge=1)
    """Examples per batch in each process."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients make one step."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Precision of the activations; weights and optimisers are fp32."""
    rate: float = Field(default=5e-4, gt=0)
    """Adam's rate for the generator."""
    discriminator_rate: float = Field(default=2e-4, gt=0)
    """Adam's rate for the discriminators."""
    warmup: int = Field(default=100, ge=1)
    """Steps until the full rate, also after a resume with other settings."""
    decay: float = Field(default=0.0, ge=0, le=1)
    """Share of the stage's steps, at its end, in which the rates fall to 0 along a straight line."""
    ema: float = Field(default=0.998, ge=0, lt=1)
    """Decay of the moving average of the generator's weights."""


class OutputConfig(_Section):
    """Where a run is kept, and how often."""

    folder: str = "runs/street-rt"
    """Folder of the run's state and TensorBoard files."""
    save_every: int = Field(default=100, ge=1)
    """Steps between two saves."""
    panels_every: int = Field(default=100, ge=1)
    """Steps between two image panels for TensorBoard, where that is installed."""
    minutes: float = Field(default=0.0, ge=0)
    """Stop the command after this long; 0: when all steps are done."""


class TrainConfig(_Section):
    """Everything that one stage of a run depends on."""

    renamed: ClassVar[dict[str, str]] = {"judge_rate": "optimiser.discriminator_rate"}
    """Old keys -> keys of now, for messages and for files without sections."""

    name: str = ""
    """Name of the stage, for messages."""
    steps: int = Field(default=20_000, ge=1)
    """Steps of the stage."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything that is random."""
    data: DataConfig = DataConfig()
    """What the run learns from."""
    model: ModelConfig = ModelConfig()
    """The generator that is trained."""
    losses: LossConfig = LossConfig()
    """Weights of the losses."""
    rollouts: RolloutConfig = RolloutConfig()
    """Steps on consecutive frames."""
    optimiser: OptimiserConfig = OptimiserConfig()
    """Batches, rates and precision."""
    output: OutputConfig = OutputConfig()
    """Where the run is kept."""

    @model_validator(mode="after")
    def _complete(self) -> TrainConfig:
        data, losses = self.data, self.losses
        if data.simulated_every and not data.simulated:
            raise ValueError("`data.simulated_every` needs `data.simulated`, the folder for frames of the town")
        if (losses.taught or data.simulators) and not self.generator().guided:
            raise ValueError(
                "`losses.taught` and `data.simulators` are for a guided generator, such as `size: street-guided`"
            )
        if losses.frechet_objects and not losses.objects:
            raise ValueError("`losses.frechet_objects` needs `losses.objects`, which cuts them out")
        if data.half_until and (data.width % 64 or data.height % 64):
            raise ValueError("`data.half_until` needs a width and height that are multiples of 64")
        if not (losses.adversarial or losses.patches or losses.features or losses.pixels):
            raise ValueError("nothing to learn from: `adversarial`, `patches`, `features` and `pixels` are all 0")
        self._check_rollouts()
        return self

    def _check_rollouts(self) -> None:
        """Raise ValueError for rollouts that cannot be."""
        data, losses, rollouts = self.data, self.losses, self.rollouts
        if rollouts.width > data.width or rollouts.height > data.height:
            raise ValueError("windows of rollouts cannot be larger than the frames")
        if not rollouts.frames:
            if losses.video or losses.flow or losses.occlusion or losses.steady:
                raise ValueError("`video`, `flow`, `occlusion`, `steady` are losses of rollouts: set `rollouts.frames`")
            return
        if rollouts.town + rollouts.maps and not data.simulated:
            raise ValueError("`rollouts.town` and `.maps` need `data.simulated`, the folder for frames of the town")
        if rollouts.frames < rollouts.first_frames:
            raise ValueError("`rollouts.frames` is the longest: it cannot be less than `rollouts.first_frames`")
        if rollouts.settle >= rollouts.first_frames:
            raise ValueError("`rollouts.settle` leaves no frame of `rollouts.first_frames` for the losses")
        if not rollouts.stills + rollouts.clips + rollouts.maps + rollouts.town:
            raise ValueError("rollouts of what? One of `stills`, `clips`, `maps`, `town` has to be above 0")
        if rollouts.clips and not any(source.sequence for source in data.sources):
            raise ValueError("`rollouts.clips` needs a source with `sequence: true`")

    def generator(self) -> GeneratorConfig:
        """Return the generator's sizes. Raises ValueError for ``model.settings`` that do not exist or cannot be."""
        from neuralsim.models.generator import SIZES, GeneratorConfig

        size = SIZES[self.model.size].as_dict()
        try:
            return GeneratorConfig.from_dict(size | self.model.settings)
        except TypeError:
            unknown = ", ".join(sorted(set(self.model.settings) - set(size)))
            raise ValueError(f"`model.settings` has no setting {unknown}") from None

    def frames_at(self, step: int) -> int:
        """Return the frames of a rollout at ``step``: they double every ``double_every`` steps (vid2vid, section
        3.3)."""
        rollouts = self.rollouts
        return min(rollouts.frames, rollouts.first_frames * 2 ** min(6, step // rollouts.double_every))

    def size_at(self, step: int) -> tuple[int, int]:
        """Return the width and height, px, of the examples of ``step``."""
        width, height = self.data.width, self.data.height
        return (width // 2, height // 2) if step < self.data.half_until else (width, height)

    def is_rollout(self, step: int) -> bool:
        """Return whether ``step`` learns from consecutive frames."""
        every = self.rollouts.every
        return self.rollouts.frames > 0 and step % every == every - 1

    def is_simulated(self, step: int) -> bool:
        """Return whether ``step`` learns from pairs of simulator frames."""
        every = self.data.simulated_every
        return every > 0 and step % every == 0 and not self.is_rollout(step)


def load_stages(path: Path) -> list[TrainConfig]:
    """Return the stages of a run's YAML, one for a file without ``stages``.

    Raises SettingsError, one line, for a setting that does not exist or cannot be.
    """
    data, lines = settings.read(path)
    if is_flat(data):
        logger().warning(f"{path}: keys without sections (`rate` for `optimiser.rate`) are read for one more release")
        data, lines = nested(data), _nested_lines(lines)
    changes = data.get("stages", [{}])
    base = {key: value for key, value in data.items() if key != "stages"}
    where = f"{path}:{settings.line_of(lines, ('stages',))}: stages"
    if not (isinstance(changes, list) and changes and all(isinstance(each, dict) for each in changes)):
        raise SettingsError(f"{where}: must be a list of mappings, each with `steps` and the settings that it changes")
    stages = []
    for index, change in enumerate(changes):
        if "stages" in data and "steps" not in change:
            line = settings.line_of(lines, ("stages", index))
            raise SettingsError(f"{path}:{line}: stages[{index}].steps: {settings.MISSING}")
        try:
            stages.append(TrainConfig.model_validate(_merged(base, change)))
        except ValidationError as error:
            raise SettingsError(settings.first_problem(path, _problems(error, index, lines))) from None
    if len(stages) > 1:
        _check_stages(stages, where)
    return stages


def is_flat(data: Mapping[str, Any]) -> bool:
    """Return whether settings have no sections: files and states of before have none."""
    if data.keys() & {"stages", "losses", "rollouts", "optimiser", "output"} or isinstance(data.get("data"), dict):
        return False
    return isinstance(data.get("data"), list) or bool((data.keys() & FLAT.keys()) - {"data", "model"})


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without sections as those with sections; unknown keys stay as they are."""
    whole: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, name = FLAT.get(key, "").partition(".")
        if section:
            whole.setdefault(section, {})[name] = value
        else:
            whole[key] = value
    return whole


def _nested_lines(lines: Lines) -> dict[settings.Key, int]:
    """Return the lines of ``nested`` keys."""
    moved: dict[settings.Key, int] = {}
    for key, line in lines.items():
        path = tuple(FLAT[str(key[0])].split(".")) if key and key[0] in FLAT else key[:1]
        moved.setdefault(path[:1], line)
        moved[path + key[1:]] = line
    return moved


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``change``; mappings are merged, anything else is replaced."""
    whole = dict(base)
    for key, value in change.items():
        below = whole.get(key)
        whole[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return whole


def _problems(error: ValidationError, stage: int, lines: Lines) -> list[Problem]:
    """Return the mistakes of a stage, each where it was written: in the stage, or in what all stages share."""
    problems = []
    for each in error.errors(include_url=False):
        key = tuple(each["loc"])
        own = ("stages", stage, *key)
        place = own if own in lines or (key not in lines and own[:2] in lines) else key
        message = settings.describe_error(each, TrainConfig)
        problems.append(Problem(settings.line_of(lines, place), settings.dotted(place), message))
    return problems


def _check_stages(stages: list[TrainConfig], where: str) -> None:
    """Raise SettingsError for stages that cannot follow each other."""
    if len({stage.output.folder for stage in stages}) > 1:
        raise SettingsError(f"{where}: all stages are kept in one `output.folder`")
    try:
        fixed = [{k: v for k, v in each.generator().as_dict().items() if k not in _FREE} for each in stages]
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from None
    if any(each != fixed[0] for each in fixed):
        raise SettingsError(f"{where}: all stages train one generator: of `model`, only {', '.join(_FREE)} may change")


#: Keys of before, without sections -> keys of now.
FLAT = {
    "out": "output.folder",
    "save_every": "output.save_every",
    "panels_every": "output.panels_every",
    "minutes": "output.minutes",
    "size": "model.size",
    "model": "model.settings",
    "start": "model.start",
    "teacher": "model.teacher",
    "data": "data.sources",
    "rollout": "rollouts.frames",
    "rollout_from": "rollouts.first_frames",
    "rollout_double": "rollouts.double_every",
    **{f"rollout_{name}": f"rollouts.{name}" for name in RolloutConfig.model_fields if "_" not in name},
    **{name: f"data.{name}" for name in DataConfig.model_fields if name != "sources"},
    **{name: f"losses.{name}" for name in LossConfig.model_fields},
    **{name: f"optimiser.{name}" for name in OptimiserConfig.model_fields},
}
del FLAT["rollout_frames"]
TrainConfig.renamed |= FLAT
