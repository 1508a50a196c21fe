"""Commands without a package of their own: drive, keys, and those that make models and engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from bridge.process.option_types import Keys, Positive, integer
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.failure import FAILED, fail
from neuralsim.base.shared_options import DEFAULT_MODEL, GpuNumber
from neuralsim.training import configs

if TYPE_CHECKING:
    from neuralsim.session.options import DriveOptions


def drive(options: DriveOptions) -> int:
    """Drive in a simulation, or on from a recording; return the exit code."""
    if options.replay is not None:
        from neuralsim.replay.run import play_or_drive_on

        return play_or_drive_on(options.replay, options.from_frame, options)
    from neuralsim.session.size_choice import rounded
    from neuralsim.window.run import run

    return run(rounded(options))


class KeysOptions(Options):
    """Keys for links between machines; ``new`` makes a pair, whose folder is copied to both of them."""

    action: Annotated[Literal["new", "observer"], Arg("ACTION", positional=True)]
    """new: make a key pair; copy its folder to both machines. observer: make a pair that may watch, but not drive."""
    folder: Annotated[Keys, Arg(positional=True)] = Path("keys")
    """Folder to write to."""
    link: Keys | None = None
    """For an observer: the keys of the link."""

    def check(self) -> None:
        if (self.link is not None) != (self.action == "observer"):
            raise ValueError("an observer's keys belong to a link: neuralsim link keys observer FOLDER --link KEYS")


def keys(options: KeysOptions) -> int:
    """Make a key pair; return the exit code."""
    from bridge.link.transport import LinkError, generate_keys, generate_observer

    try:
        if options.link is None:
            folder, usage = generate_keys(options.folder), "copy this folder to the other machine, --keys on both"
        else:
            folder, usage = generate_observer(options.folder, options.link), "for an observer's machine, --keys there"
    except LinkError as error:
        return fail(error)
    print(f"{folder}: {usage}; keep `secret` secret")
    return 0


ConfigFile = Annotated[
    Path,
    BeforeValidator(configs.find),
    Arg("CONFIG.yaml|NAME", positional=True),
    Field(description=f"Config of the run, a file or one of {', '.join(configs.names())}."),
]


class TrainOptions(Options):
    """A training run; all of its settings are in its config."""

    config_file: ClassVar[bool] = False

    run: ConfigFile
    check_only: Annotated[bool, Arg(flag="check")] = False
    """Only read every image and label once and report problems."""


def train(options: TrainOptions) -> int:
    """Train, or check the data; return the exit code."""
    if options.check_only:
        return _with_torch(lambda run: run.run_check(options.run))
    return _with_torch(lambda run: run.run_training(options.run))


class ExportOptions(Options):
    """A trained run to export as a model folder."""

    config_file: ClassVar[bool] = False

    run: ConfigFile
    out: Keys | None = None
    """Model folder; its name becomes the model's."""
    licence: str = ""
    """Terms of the weights, for the model card: those of the training data."""
    state: Annotated[Path, Arg("FILE.safetensors")] | None = None
    """Write the networks, discriminators included, in half precision, for `model.start` of another run."""

    def check(self) -> None:
        """Raise ``ValueError`` where nothing can be written."""
        if self.out is None and self.state is None:
            raise ValueError("--out names the model's folder, or --state a file for the state")
        if self.out is not None and not self.licence:
            raise ValueError("--licence: the terms of the weights, which those of the training data set")
        if self.state is not None and self.state.suffix != ".safetensors":
            raise ValueError(f"--state: {self.state} does not end with .safetensors")


def export(options: ExportOptions) -> int:
    """Write the model, the state, or both; return the exit code."""

    def write(run: Any) -> None:
        if options.state is not None:
            print(run.run_pack(options.run, options.state))
        if options.out is not None:
            print(run.run_export(options.run, options.out, options.licence))

    return _with_torch(write)


class BuildEngineOptions(Options):
    """A TensorRT engine for this GPU."""

    model: Annotated[str, Arg("NAME")] = DEFAULT_MODEL
    """Model to build for."""
    size: Size = Size(512, 256)
    """Pixels to render."""
    precision: Annotated[Literal["fp16", "fp32", "int8"], Arg("fp16|fp32|int8")] = "fp16"
    """Precision of the generator's layers."""
    level: Annotated[int, integer(0, 5), Arg("0..5")] = 3
    """Optimisation level: higher takes longer to build."""
    workspace: Annotated[Positive, Arg("MB")] = 2048
    """GPU memory that layers may use."""
    again: bool = False
    """Build it even if it exists."""
    gpu: GpuNumber = None


def build_engine(options: BuildEngineOptions) -> int:
    """Build the engine; return the exit code."""
    from neuralsim.runtimes.tensorrt.build_engine import run

    return run(options.model, options.size, options.precision, options.level, options.workspace, options.again)


def _with_torch(task: Callable[[Any], bool | None]) -> int:
    """Run ``task`` with ``neuralsim.training.run``; an error is one line, and a result of False a failure."""
    from neuralsim import zoo
    from neuralsim.training import run
    from neuralsim.training.checkpoint import SafetensorError

    try:
        return FAILED if task(run) is False else 0
    except SafetensorError as error:
        return fail(f"the run's last.safetensors is damaged ({error}): train into a new folder")
    except (OSError, ValueError, FloatingPointError, zoo.ModelError) as error:
        return fail(error)
