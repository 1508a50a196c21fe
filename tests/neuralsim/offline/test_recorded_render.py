"""``neuralsim render`` of recordings of CARLA's cameras: the images, the motion, what goes on, what is wrong."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.carla_recordings import RATE, depth_16bit, drive, palette, write_poses, write_recording

from bridge.carla_client.weather import preset_values
from bridge.messages import HIDDEN_MOTION, Frame
from bridge.process.options import parse
from bridge.tags import MOVERS
from neuralsim import cli, zoo
from neuralsim.offline.options import RenderOptions
from neuralsim.offline.recorded import render_recording
from neuralsim.offline.recorded.clip import ClipSettings, open_clip
from neuralsim.offline.recorded.clip_renderer import ClipRenderer
from neuralsim.offline.recorded.finder import find
from neuralsim.offline.recorded.frames import FrameMaker
from neuralsim.offline.recorded.planes import Notes, PlaneReader
from neuralsim.recording.writing.mp4 import Mp4Writer

RUNTIME = ["--runtime", "onnxruntime"]


@cache
def frames() -> list[Frame]:
    return drive(6, weather=preset_values("ClearNoon"))


@cache
def recorded_images() -> list[np.ndarray]:
    """The images that ``record`` renders of these frames, in the exposure of the clip."""
    renderer = ClipRenderer(runtime="onnxruntime", guide="picture")
    renderer.follow(frames()[0].weather)
    renderer.meter(frames())
    return [renderer.render(frame) for frame in frames()]


def rendered(out: Path) -> list[np.ndarray]:
    return [cv2.imread(str(file))[..., ::-1] for file in sorted(out.glob("*.png"))]


def psnr(images: list[np.ndarray], others: list[np.ndarray]) -> float:
    square = np.mean([np.square(a.astype(np.float64) - b).mean() for a, b in zip(images, others, strict=True)])
    return float(10.0 * np.log10(255.0**2 / max(float(square), 1e-9)))


def made(folder: Path) -> list[Frame]:
    """The frames that ``render`` makes of a recording."""
    clip = open_clip(find(folder)[0], ClipSettings())
    reader, maker = PlaneReader(clip, None, Notes()), FrameMaker(clip, RATE, {})
    return [maker.make(number, reader.read(number), number in clip.begins) for number in range(len(clip))]


@pytest.mark.parametrize(
    "coded",
    [
        {},
        {"tags": "palette", "poses": "json", "flow": "png"},
        {"tags": "", "depth": "16bit"},
        {"depth": "log"},
    ],
    ids=["raw", "palette", "instances alone", "logarithmic"],
)
def test_a_recording_in_carlas_encodings_is_rendered_as_by_record(tmp_path: Path, coded: dict[str, str]) -> None:
    write_recording(tmp_path / "in", frames(), **coded)  # type: ignore[arg-type]
    arguments = ["render", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--weather", "ClearNoon", *RUNTIME]
    assert cli.main([*arguments, "--model", zoo.DEFAULT]) == 0
    assert psnr(rendered(tmp_path / "out"), recorded_images()) > 40.0


def test_pictures_of_other_simulators_are_rendered_by_the_model_for_any_of_them(tmp_path: Path) -> None:
    def model(*given: str, weather: bool = False, rgb: bool = True) -> str:
        folder = tmp_path / f"{rgb}"
        if not folder.exists():
            write_recording(folder, frames()[:2])
            if not rgb:
                shutil.rmtree(folder / "rgb")
        options = parse(RenderOptions, [str(folder), "--out", str(tmp_path / "out"), *given], "x", "y")
        clips = [open_clip(each, ClipSettings()) for each in find(folder)]
        for clip in clips:
            assert clip.poses is not None
            clip.poses.weather = frames()[0].weather if weather else {}
        return render_recording._model(options, clips)

    assert model() == zoo.GUIDED
    assert model(weather=True) == zoo.DEFAULT, "of the embedded town"
    assert model(rgb=False) == zoo.DEFAULT
    assert model("--model", "street-rt") == "street-rt"
    assert model("--quality", "best") == zoo.BEST


@pytest.mark.parametrize("coded", [{"flow": "npy"}, {"flow": "npy", "poses": "", "depth": "24bit"}, {"flow": "png"}])
def test_motion_is_the_bridges_to_a_tenth_of_a_pixel(tmp_path: Path, coded: dict[str, str]) -> None:
    write_recording(tmp_path, frames(), **coded)  # type: ignore[arg-type]
    for own, frame in list(zip(made(tmp_path), frames(), strict=True))[1:]:
        expected = frame.planes["motion"].astype(np.float64)
        apart = np.hypot(*np.moveaxis(own.planes["motion"].astype(np.float64) - expected, -1, 0))
        inside = (np.hypot(*np.moveaxis(expected, -1, 0)) < 60.0) & (own.planes["motion"][..., 0] < HIDDEN_MOTION)
        scenery = inside & ~np.isin(frame.planes["tag"], MOVERS)
        assert np.percentile(apart[scenery], 99) < 0.1
        assert np.percentile(apart[inside], 98) < (0.15 if coded["flow"] == "png" else 0.1)


def test_without_a_flow_moving_things_follow_the_pictures_and_scenery_its_depths(tmp_path: Path) -> None:
    write_recording(tmp_path, frames(), flow="")
    for own, frame in list(zip(made(tmp_path), frames(), strict=True))[1:]:
        scenery = ~np.isin(frame.planes["tag"], MOVERS)
        apart = np.abs(own.planes["motion"].astype(np.float64) - frame.planes["motion"]).max(2)
        assert np.percentile(apart[scenery], 98) < 0.1
        assert not own.estimated


def test_without_depths_and_poses_the_motion_is_estimated(tmp_path: Path) -> None:
    write_recording(tmp_path, frames(), flow="", poses="", depth="")
    first, *others = made(tmp_path)
    assert (first.planes["motion"] == HIDDEN_MOTION).all()
    for own, frame in zip(others, frames()[1:], strict=True):
        assert own.estimated
        apart = np.abs(own.planes["motion"].astype(np.float64) - frame.planes["motion"]).max(2)
        assert np.median(apart) < 0.5


def test_the_same_command_goes_on_and_another_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recording(tmp_path / "in", frames())
    arguments = ["render", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--compare", *RUNTIME]
    assert cli.main(arguments) == 0
    whole = rendered(tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.png"))
    kept = files[1].stat().st_mtime_ns
    for file in files[3:]:
        file.unlink()
    assert cli.main(arguments) == 0
    assert files[1].stat().st_mtime_ns == kept, "what is written is not written again"
    assert psnr(rendered(tmp_path / "out"), whole) > 40.0
    beside = cv2.imread(str(tmp_path / "out" / "compare" / files[3].name))
    assert beside.shape == (128, 512, 3)
    assert (beside[:, :256, ::-1] == frames()[3].planes["rgb"]).all()
    assert cli.main([*arguments, "--style", "dusk"]) == 1
    assert "holds images of another command (style)" in capsys.readouterr().err


def test_videos_are_read_and_written(tmp_path: Path) -> None:
    for name in ("rgb", "tags"):
        video = Mp4Writer(tmp_path / "in" / f"{name}.mp4", (256, 128), rate=RATE, block=True)
        for k, frame in enumerate(frames()):
            coded = palette(frame.planes["tag"])[..., 2::-1] if name == "tags" else frame.planes["rgb"]
            video.write(np.ascontiguousarray(coded), k / RATE)
        video.close()
    out = tmp_path / "out"
    arguments = ["render", str(tmp_path / "in"), "--out", str(out), "--format", "mp4", "--compare", *RUNTIME]
    assert cli.main(arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == ["in.mp4", "in_compare.mp4", "render.json"]
    video_in = cv2.VideoCapture(str(out / "in.mp4"))
    assert sum(video_in.read()[0] for _ in range(9)) == 6


def test_towns_of_any_size_are_rendered_and_one_without_tags_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for town, size in (("Town01", (192, 80)), ("Town02", (160, 90)), ("Town03", (160, 90))):
        for plane in ("rgb", "tags") if town != "Town03" else ("rgb",):
            (tmp_path / "in" / town / plane).mkdir(parents=True)
            image = frames()[0].planes["rgb"] if plane == "rgb" else palette(frames()[0].planes["tag"])
            scaled = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(tmp_path / "in" / town / plane / "000001.png"), scaled)
    lines = complaints(capsys, str(tmp_path / "in"), "--out", str(tmp_path / "out"))
    assert len(lines) == 1, lines
    assert "Town03/rgb: no tags and no instances" in lines[0]
    for town, shape in (("Town01", (80, 192, 3)), ("Town02", (90, 160, 3))):
        assert cv2.imread(str(tmp_path / "out" / town / "000001.png")).shape == shape


def complaints(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Run ``render``, which must return 1, and return its lines on stderr."""
    assert cli.main(["render", *arguments, *RUNTIME]) == 1
    # a machine under load shows progress before
    return [line for line in capsys.readouterr().err.splitlines() if line and not line.startswith("[")]


def test_what_is_missing_or_strange_is_a_line_and_the_rest_is_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def variant(name: str) -> tuple[Path, Path]:
        write_recording(tmp_path / name, frames())
        return tmp_path / name, tmp_path / f"{name}_out"

    def check(source: Path, out: Path, count: int, *texts: str) -> None:
        lines = complaints(capsys, str(source), "--out", str(out))
        assert len(lines) == 1, lines
        for text in texts:
            assert text in lines[0]
        assert len(list(out.glob("*.png"))) == count

    source, out = variant("short")
    (source / "depth" / "00001004.png").unlink()
    check(source, out, 6, "no depth for 1 of 6 frames", "00001004.png")

    source, out = variant("hole")
    for plane in ("rgb", "semantic", "instance", "depth"):
        (source / plane / "00001003.png").unlink()
    (source / "flow" / "00001003.npy").unlink()
    check(source, out, 5, "1 frames missing between 00001002.png and 00001004.png")

    source, out = variant("poses")
    write_poses(source / "poses.csv", frames()[:4], 1000)
    check(source, out, 6, "poses.csv: 4 poses, but 6 frames", "00001004.png")

    source, out = variant("damaged")
    (source / "semantic" / "00001002.png").write_bytes((source / "semantic" / "00001001.png").read_bytes()[:90])
    check(source, out, 5, "00001002.png: damaged", "skipped")

    source, out = variant("small")
    half = frames()[0].planes["depth"][::2, ::2]
    for file in (source / "depth").iterdir():
        cv2.imwrite(str(file), depth_16bit(half))
    check(source, out, 6, "00001000.png: 128x64 pixels, its tags have 256x128", "scaled")

    source, out = variant("deep")
    for file in (source / "semantic").iterdir():
        cv2.imwrite(str(file), cv2.imread(str(file))[..., 2].astype(np.uint16))
    check(source, out, 6, "00001000.png: 16-bit tags, read as ids")

    source, out = variant("float")
    shutil.rmtree(source / "depth")
    (source / "depth").mkdir()
    for k in range(6):
        cv2.imwrite(str(source / "depth" / f"{1000 + k:08d}.tiff"), frames()[k].planes["depth"])
    check(source, out, 6, "00001000.tiff: depths as floating-point pixels are not read", "rendered without")

    source, out = variant("glass")
    for file in (source / "rgb").iterdir():
        cv2.imwrite(str(file), np.dstack([cv2.imread(str(file)), frames()[0].planes["tag"]]))
    check(source, out, 6, "00001000.png: an alpha channel")


def test_what_cannot_be_rendered_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def complaint(*arguments: str) -> str:
        lines = complaints(capsys, *arguments, "--out", str(tmp_path / "out"))
        assert len(lines) == 1, lines
        return lines[0]

    (tmp_path / "empty").mkdir()
    assert "empty: contains no pictures" in complaint(str(tmp_path / "empty"))
    assert "none: no such file or folder" in complaint(str(tmp_path / "none"))
    write_recording(tmp_path / "in", frames()[:2])
    assert "no tags and no instances, only rgb in" in complaint(str(tmp_path / "in" / "rgb"))
    foreign = np.array([(200, 10, 200), (10, 200, 10), (250, 250, 250)], np.uint8)
    (tmp_path / "other" / "tags").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "other" / "tags" / "a.png"), foreign[frames()[0].planes["tag"] % 3])
    assert "a.png: not CARLA's palette" in complaint(str(tmp_path / "other"))
    (tmp_path / "a.csv").write_text("a,b\n1,2", encoding="utf-8")
    assert "a.csv: no poses" in complaint(str(tmp_path / "in"), "--poses", str(tmp_path / "a.csv"))
    assert not list((tmp_path / "out").glob("*.png"))
