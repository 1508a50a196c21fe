"""Replays: random access to frames, rendering again, comparing, driving on from exactly where the recording was."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pygame
import pytest
from helpers.command import neuralsim

from bridge.messages import Camera, Frame, Lamp
from neuralsim import zoo
from neuralsim.cli import main
from neuralsim.drive.interactive_drive import HudState
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of, image_of
from neuralsim.recording.writing.mcap_writer import CHUNK, McapWriter
from neuralsim.renderer.views import View, tag_image
from neuralsim.replay import renderer_pool
from neuralsim.replay.drive_on import continue_from, model_to_drive
from neuralsim.replay.options import RECORDED, ReplayOptions
from neuralsim.replay.player import Player
from neuralsim.replay.recording_renderer import RecordingRenderer
from neuralsim.replay.replay_hud import ReplayHud
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.options import TAGS, DriveOptions
from neuralsim.session.tag_renderer import TagRenderer
from neuralsim.window.drawing import SurfaceCache
from neuralsim.zoo import ModelError

ROOT = Path(__file__).resolve().parents[3]
PLANES = ("tag", "instance", "depth", "motion", "neural")

SCENARIO = """\
title: Driven on from
town: hamlet
seed: 4
duration: 3
camera: {size: 96x64, fov: 80}
traffic: {vehicles: 3, walkers: 3}
ego:
  spawn: {point: 1, speed: 6}
  do:
    - follow_lane: {speed: 8}
actors:
  - name: lead
    blueprint: vehicle.audi.tt
    spawn: {ahead: 15, speed: 6}
    do:
      - follow_lane: {speed: 9}
assert:
  - no_collision: ego
"""


def street(k: int, width: int = 64, height: int = 32) -> tuple[Frame, np.ndarray]:
    """Frame ``k`` of a drive past a wall of houses at 1 m per frame, and an image of a colour of its own."""
    y, x = np.mgrid[:height, :width]
    planes = {
        "tag": np.where(y < 12, 11, np.where(y < 20, 3, 1)).astype(np.uint8),
        "instance": np.zeros((height, width), np.uint16),
        "depth": np.where(y < 12, 1000.0, 10.0 + 0.1 * x).astype(np.float32),
        "motion": np.zeros((height, width, 2), np.float16),
    }
    pose = np.eye(4)
    pose[:3, 3] = k, 2.0, 1.5
    frame = Frame(k, 100 + k, k / 20, Camera(width, height, 75.0, pose), planes, scenario="made", seed=9)
    frame.ego.pose, frame.ego.speed, frame.ego.throttle = pose, 20.0, 0.5
    frame.weather, frame.weather_name = {"sun_altitude_angle": 8.0, "cloudiness": 10.0}, "ClearSunset"
    frame.lamps = [Lamp("traffic_light", "red", (3.0, 4.0, 6.0, 7.0), 12.5)]
    return frame, np.full((height, width, 3), (4 * k % 200, 100, 50), np.uint8)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "recording.mcap"
    writer = McapWriter(path, PLANES, {"fps": "20", "model": "street-rt"}, views=("rear",))
    for k in range(60):
        frame, image = street(k)
        behind = replace(frame, view="rear", camera=Camera(32, 32, 60.0, frame.camera.pose), planes={})
        behind.planes["tag"] = np.full((32, 32), k % 29, np.uint8)
        assert writer.write(behind, np.full((32, 32, 3), k, np.uint8))
        assert writer.write(frame, image)
    writer.close()
    assert writer.error is None
    return path


# Any frame at once


def test_frames_are_read_in_any_order_as_recorded(recording: Path):
    with RecordingReader(recording) as reader:
        assert (len(reader), reader.views, reader.fps) == (60, ["rear"], 20.0)
        for k in (0, 59, 3, 31, 30):
            recorded = reader.read(k)
            frame, expected = frame_of(recorded), street(k)[0]
            assert frame.sim_time == pytest.approx(k / 20)
            assert all((frame.planes[name] == plane).all() for name, plane in expected.planes.items())
            assert np.allclose(frame.camera.pose, expected.camera.pose)
            assert (frame.camera.width, frame.camera.fov) == (64, pytest.approx(75.0))
            assert (frame.ego.speed, frame.ego.throttle) == (20.0, 0.5)
            assert (frame.weather, frame.lamps) == (expected.weather, expected.lamps)
            assert abs(int(image_of(recorded, "neural")[0, 0, 0]) - 4 * k % 200) < 6
            assert frame_of(recorded, "rear").planes["tag"][0, 0] == k % 29


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_truncated_recording_is_replayed_as_far_as_it_goes(tmp_path: Path, share: float):
    path = tmp_path / "cut.mcap"
    writer = McapWriter(path, ("tag",), {})
    random = np.random.default_rng(0)
    for k in range(200):
        frame = Frame(k, k, k / 20, Camera(512, 256, 70.0, np.eye(4)), {})
        frame.planes["tag"] = random.integers(0, 29, (256, 512), np.uint8)  # nothing to compress: several chunks
        writer.write(frame, None)
    writer.close()
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with RecordingReader(path) as reader:
        lost = CHUNK // (512 * 256) + 1  # at most: a chunk also ends after half a second, wherever that is
        assert share * 200 - lost < len(reader) <= share * 200
        assert frame_of(reader.read(len(reader) - 1)).planes["tag"].shape == (256, 512)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89MCAP0\r\n" + bytes(300), bytes(range(256)) * 9])
def test_invalid_recording_is_rejected_in_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "a.mcap"
    path.write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        RecordingReader(path)
    assert "\n" not in str(caught.value)


# Rendering again


@pytest.mark.slow
def test_frames_may_be_rendered_in_parts(tmp_path: Path):
    writer = McapWriter(tmp_path / "wide.mcap", PLANES, {"fps": "20", "scenario": "wide"})
    for k in range(4):
        assert writer.write(*street(k, 192, 64))
    writer.close()
    with RecordingReader(tmp_path / "wide.mcap") as reader:
        whole, parts = (
            RecordingRenderer(reader, "street-rt", "onnxruntime", pixels=pixels) for pixels in (None, 96 * 64)
        )
        for k in range(4):
            images = [renderer.render(k)[1].astype(int) for renderer in (whole, parts)]
        assert images[0].shape == images[1].shape == (64, 192, 3)
        assert 0.0 < np.abs(images[0] - images[1]).mean() < 30.0


@pytest.mark.slow
def test_image_after_a_jump_is_like_the_one_reached_frame_by_frame(recording: Path):
    with RecordingReader(recording) as reader:
        steady, jumped = RecordingRenderer(reader, "street-rt"), RecordingRenderer(reader, "street-rt")
        for k in range(21):
            _, expected = steady.render(k)
        _, fresh = jumped.render(20, preroll=0)
        _, settled = jumped.render(20)
        assert settled.shape == (32, 64, 3)
        errors = [float(np.abs(image.astype(int) - expected).mean()) for image in (settled, fresh)]
        assert errors[0] < 1.0
        assert errors[0] <= errors[1] + 0.05


@pytest.mark.slow
def test_skipped_frames_are_bridged(recording: Path):
    with RecordingReader(recording) as reader:
        renderer = RecordingRenderer(reader, "street-rt")
        renderer.render(10)
        frame, image = renderer.render(14)
        assert image.std() > 1.0
        assert frame.planes["motion"].dtype == np.float16


def test_styles_change_the_image_and_the_weather_chooses_one(recording: Path):
    with RecordingReader(recording) as reader:
        renderers = [RecordingRenderer(reader, "street-rt", style=style) for style in ("day", "dusk", None)]
        day, dusk, weather = (renderer.render(5)[1].astype(int) for renderer in renderers)
        assert np.abs(day - dusk).mean() > 2.0
        assert np.abs(weather - dusk).mean() < np.abs(weather - day).mean()  # the sun stands at 8 degrees


def test_planes_that_a_model_needs_must_have_been_recorded(recording: Path, tmp_path: Path):
    path = tmp_path / "tags.mcap"
    writer = McapWriter(path, ("tag",), {})
    writer.write(*street(0))
    writer.close()
    with RecordingReader(path) as reader:
        assert (RecordingRenderer(reader, TAGS).render(0)[1] == tag_image(street(0)[0].planes["tag"])).all()
        with pytest.raises(RecordingError, match="holds no rendered images"):
            RecordingRenderer(reader, RECORDED)
        with pytest.raises(RecordingError, match=r"holds no .*depth"):
            RecordingRenderer(reader, "street-rt")
    with RecordingReader(recording) as reader, pytest.raises(RecordingError, match="no camera 'left'"):
        RecordingRenderer(reader, RECORDED, view="left")


def test_video_compares_the_new_images_with_the_recorded(recording: Path, tmp_path: Path):
    video = tmp_path / "video.mp4"
    done = neuralsim(
        "replay", recording, "--headless", "--record", video, "--model", TAGS, "--compare", RECORDED,
        "--begin", "1", "--end", "2", "--speed", "0.5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    frames = list(av.open(str(video)).decode(video=0))
    assert len(frames) == 21
    assert (frames[0].width, frames[0].height) == (128, 32)
    assert float(frames[-1].time) == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--headless"], 2, "--headless and --record go together"),
        (["--speed", "99"], 2, "0.1 to 8"),
        (["--headless", "--record", "a.mp4", "--model", "nobody"], 1, "unknown model 'nobody'"),
        (["--headless", "--record", "a.mp4", "--begin", "60"], 1, "ends after 2.95 s"),
        (["--headless", "--record", "a.mp4", "--camera", "left"], 1, "no camera 'left'"),
    ],
)
def test_wrong_usage_is_one_line(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, text: str
):
    arguments = [str(tmp_path / word) if word == "a.mp4" else word for word in arguments]
    assert main(["replay", str(recording), *arguments]) == code
    errors = capsys.readouterr().err
    assert text in errors
    assert len(errors.strip().splitlines()) == 1


# The window


@pytest.fixture
def no_screen() -> Iterator[None]:
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    yield
    pygame.quit()
    del os.environ["SDL_VIDEODRIVER"]


def press(key: int, modifiers: int = 0) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYDOWN, key=key, mod=modifiers)


def play(player: Player, *acts: Callable[[], object]) -> None:
    """Run the player and call each of ``acts`` between two of its rounds, the next one when its result is shown."""
    waiting = list(acts)
    rounds = 0

    def interrupted() -> bool:
        nonlocal rounds
        rounds += 1
        if rounds % 3 == 0 and waiting:
            waiting.pop(0)()
        return not waiting and rounds % 3 == 2

    player.run(interrupted)


@pytest.mark.usefixtures("no_screen")
def test_window_scrubs_steps_and_compares(recording: Path):
    with RecordingReader(recording) as reader:
        player = Player(reader, ReplayOptions(file=recording))
        line = player.window.hud.timeline
        seen: list[object] = []

        def post(*events: pygame.event.Event) -> Callable[[], None]:
            return lambda: [pygame.event.post(event) for event in events] and None

        def note(get: Callable[[], object]) -> Callable[[], None]:
            return lambda: seen.append(get())

        def click() -> None:
            track = player.window.hud.track
            at = {"pos": (track.left + track.width // 2, track.centery), "button": 1}
            pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, at))
            pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONUP, at))

        play(
            player,
            post(press(pygame.K_SPACE), press(pygame.K_HOME)),
            note(lambda: (line.frame, line.playing)),
            post(press(pygame.K_RIGHT), press(pygame.K_RIGHT)),
            note(lambda: line.frame),
            post(press(pygame.K_RIGHT, pygame.KMOD_LSHIFT)),
            note(lambda: line.frame),
            click,
            note(lambda: line.frame),
            post(press(pygame.K_UP)),
            post(*[press(pygame.K_m)] * (len(zoo.names()) + 1)),  # past the shipped models to the tags
            post(press(pygame.K_n)),
            note(lambda: (line.speed, player.window.view, player.window.title_of_view)),
            post(press(pygame.K_v)),
            note(lambda: player.window._frame.camera.width),
            post(press(pygame.K_END)),
            note(lambda: line.frame),
        )
        assert seen[0] == (1, False)
        assert seen[1] == 3
        assert seen[2] == 23
        assert seen[3] == pytest.approx(30, abs=1)
        assert seen[4] == (2.0, View.SPLIT, "Neural  |  recorded")
        assert seen[5] == 32
        assert seen[6] == 60


@pytest.mark.usefixtures("no_screen")
@pytest.mark.parametrize("fails", [False, True])
def test_model_loads_in_the_background(recording: Path, monkeypatch: pytest.MonkeyPatch, fails: bool):
    """While a model loads, the replay goes on and shows for how long it has been loading."""
    may_finish, has_begun = threading.Event(), threading.Event()

    def slowly(*_: object, pixels: int | None = None, dashcam: bool = False) -> TagRenderer:
        has_begun.set()
        assert may_finish.wait(60.0)
        if fails:
            raise ModelError("cannot be loaded")
        return TagRenderer()

    monkeypatch.setattr(renderer_pool, "make_renderer", slowly)
    monkeypatch.setattr(zoo, "names", lambda: ["street-rt"])
    with RecordingReader(recording) as reader:
        player = Player(reader, ReplayOptions(file=recording))
        line, hud = player.window.hud.timeline, player.window.hud
        seen: list[tuple[str, str, int]] = []
        notices: list[str] = []
        monkeypatch.setattr(hud, "notify", notices.append)

        def post(key: int) -> Callable[[], object]:
            return lambda: pygame.event.post(press(key))

        def note() -> None:
            seen.append((player.model, hud.loading[0], line.frame))

        def finish() -> None:
            may_finish.set()
            for thread in threading.enumerate():
                if thread.name == "model":
                    thread.join(10.0)

        keys = (pygame.K_SPACE, pygame.K_HOME, pygame.K_m, pygame.K_RIGHT, pygame.K_RIGHT)
        play(player, *map(post, keys), note, finish, note)
        assert has_begun.is_set()
        assert seen[0] == (RECORDED, "street-rt", 3)
        assert seen[1][:2] == (TAGS if fails else "street-rt", "")
        assert ("Cannot load street-rt: see the terminal" in notices) == fails


@pytest.mark.usefixtures("no_screen")
def test_graphs_holes_and_events_are_shown_and_jumped_to(tmp_path: Path):
    path = tmp_path / "recording.mcap"
    writer = McapWriter(path, PLANES, {"fps": "20", "model": "street-rt"})
    for k in (*range(20), *range(60, 90)):  # two seconds are missing
        frame, image = street(k)
        frame.ego.collisions = int(k >= 75)
        assert writer.write(frame, image)
    writer.close()
    with RecordingReader(path) as reader:
        player = Player(reader, ReplayOptions(file=path, model=RECORDED))
        line, hud = player.window.hud.timeline, player.window.hud
        player._track.join(10.0)
        at: list[float] = []
        shots: list[np.ndarray] = []

        def key(number: int, modifiers: int = 0) -> Callable[[], object]:
            return lambda: pygame.event.post(press(number, modifiers))

        def note() -> None:
            at.append(player._seconds)
            shots.append(pygame.surfarray.array3d(player.window._surface))

        j, g = key(pygame.K_j), key(pygame.K_g)
        back = key(pygame.K_j, pygame.KMOD_SHIFT)
        play(player, key(pygame.K_SPACE), key(pygame.K_HOME), note, j, note, j, note, back, note, note, g, note)
        assert [(round(begin, 2), round(end, 2)) for begin, end in line.holes] == [(0.95, 3.0)]
        assert [(round(s, 2), kind) for s, kind in line.marks] == [(3.75, "collision")]
        assert at[1:4] == pytest.approx([0.45, 3.25, 0.45], abs=0.06)
        assert hud.graphs.on
        assert (shots[-1] != shots[-2]).any(axis=-1).mean() > 0.05


@pytest.mark.usefixtures("no_screen")
def test_another_recording_is_a_ghost_at_the_same_second(recording: Path, tmp_path: Path):
    other = tmp_path / "other.mcap"
    writer = McapWriter(other, PLANES, {"fps": "20", "model": "street-rt"})
    for k in range(40):
        frame, image = street(k)
        frame.ego.pose = np.eye(4)
        frame.ego.pose[:3, 3] = 5.0 + 0.5 * k, 2.0, 0.0
        assert writer.write(frame, image)
    writer.close()
    with RecordingReader(recording) as reader:
        player = Player(reader, ReplayOptions(file=recording, model=RECORDED, ghost=other))
        assert player._ghost is not None
        player._ghost.join(20.0)
        player._go(1.0)
        place = player._ghost_place()
        assert place is not None
        assert place[:2] == pytest.approx((5.0 + 0.5 * 20, 2.0), abs=0.3)
        player._key(pygame.K_k, 0)
        assert player._ghost_place() is None


@pytest.mark.usefixtures("no_screen")
def test_the_window_names_its_first_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    shown: set[str] = set()
    text = SurfaceCache.text
    monkeypatch.setattr(SurfaceCache, "text", lambda self, *rest: shown.add(rest[0]) or text(self, *rest))
    for size in ((320, 160), (1024, 512)):
        shown.clear()
        target = pygame.Surface(size, 0, 32)
        ReplayHud().draw(target, target.get_rect(), HudState())
        assert any("H: all keys" in line for line in shown)
        assert any("Space: play / pause" in line for line in shown) or size[0] < 1024


@pytest.mark.usefixtures("no_screen")
def test_player_says_why_nobody_can_drive_on_and_stays(recording: Path):
    with RecordingReader(recording) as reader:
        player = Player(reader, ReplayOptions(file=recording, model=TAGS))
        notices: list[str] = []
        player.window.hud.notify = notices.append  # type: ignore[method-assign]
        pygame.event.post(press(pygame.K_d))
        rounds = iter(range(20))
        player.run(lambda: next(rounds, None) is None)
        assert player.drive_from is None
        assert any("to-scenario" in notice for notice in notices)


@pytest.mark.usefixtures("no_screen")
def test_player_ends_at_the_frame_to_drive_on_from(recording: Path):
    with RecordingReader(recording) as reader:
        reader.about["scenario_yaml"] = SCENARIO
        player = Player(reader, ReplayOptions(file=recording, model=TAGS, speed=8.0, begin=1.0))
        rounds = 0

        def until_later() -> bool:
            nonlocal rounds
            rounds += 1
            if player.window.hud.timeline.frame > 40:
                pygame.event.post(press(pygame.K_d))
            return rounds > 2000

        player.run(until_later)
        assert player.drive_from is not None
        assert 39 < player.drive_from < 60
        assert model_to_drive(reader, player.model) == TAGS


# Driving on


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driven")
    (folder / "drive.yaml").write_text(SCENARIO, encoding="utf-8")
    done = neuralsim(
        "record", folder / "drive.yaml", "--out", folder, "--planes", "tag,instance,depth,motion", "--format", "mcap"
    )
    assert done.returncode == 0, done.stderr
    return folder / "drive/recording.mcap"


def test_driving_on_begins_exactly_where_the_recording_was(driven: Path, tmp_path: Path):
    with RecordingReader(driven) as reader:
        options = DriveOptions(model=TAGS, headless=True, autopilot=True)
        session = DriveSession(continue_from(reader, 40, tmp_path, options))
        recorded = [frame_of(reader.read(k)) for k in (40, 59)]
    session.start()
    try:
        frames = []
        while len(frames) < 30:
            rendered = session.take(0.5)
            assert session.error is None, session.error
            if rendered is not None:
                frames.append(rendered.frame)
    finally:
        session.stop()
    assert frames[0].sequence == 40
    for name, plane in recorded[0].planes.items():
        assert (frames[0].planes[name] == plane).all(), name
    assert np.allclose(frames[0].ego.pose, recorded[0].ego.pose)
    assert frames[-1].sequence == 69  # it continues past the end of the recording
    assert frames[-1].ego.autopilot


@pytest.mark.slow
def test_command_drives_on_and_reports_errors(driven: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    arguments = ("drive", "--replay", driven, "--headless", "--model", TAGS)
    done = neuralsim(*arguments, "--from-frame", "50", "--frames", "5", "--report", report)
    assert done.returncode == 0, done.stderr
    assert json.loads(report.read_text(encoding="utf-8"))["frames"] == 5
    for more, code, text in (
        (("--from-frame", "60"), 1, "has frames 0 to 59, not 60"),
        ((), 2, "needs --from-frame"),
        (("--from-frame", "5", "--town", "hamlet"), 2, "--town cannot go with --replay"),
    ):
        done = neuralsim(*arguments, *more)
        assert done.returncode == code
        assert text in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
