"""What the driver can change about the picture: what is painted as what, and in which light."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import carla
import numpy as np
import pytest
from helpers.frames import street

from bridge.messages import Frame, Lamp
from bridge.tags import COUNT, Tag, named
from neuralsim import zoo
from neuralsim.cli import main
from neuralsim.models.classes import Channel
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.recording.writing.mcap_writer import McapWriter
from neuralsim.renderer import weather_style
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.remap import EDITS, NOTHING, Remap, following
from neuralsim.renderer.views import tag_picture
from neuralsim.replay.repaint import Repainter
from neuralsim.session import lamp_drawing
from neuralsim.session.options import TAGS
from neuralsim.session.tag_painter import TagRenderer
from scenarios.engine.loader import ScenarioError, load

SCENARIO = """\
title: Edited
duration: 3
remap: {buildings: vegetation, road-lines: roads}
ego: {spawn: {point: 1}, do: [{follow_lane: {speed: 8}}]}
assert: []
"""


def edited(frame: Frame, remap: Remap) -> Frame:
    return replace(frame, planes={**frame.planes, "tag": remap.table[frame.planes["tag"]]})


# What is painted as what


def test_tags_go_by_the_names_of_carla() -> None:
    for label, value in carla.CityObjectLabel.names.items():
        if label not in ("NONE", "Any"):
            assert named(label) == int(value)
    assert [named(text) for text in ("buildings", "road-line", "TRAFFIC_LIGHT", "buses")] == [3, 24, 7, 16]
    with pytest.raises(ValueError, match=r"unknown tag 'trees': choose unlabeled, .*vegetation"):
        named("trees")


def test_all_of_a_remap_happens_at_once_and_is_read_as_it_is_written() -> None:
    swap = Remap.parse("vegetation=buildings, Buildings=Vegetation,roads=road")
    assert (swap.table[Tag.BUILDING], swap.table[Tag.VEGETATION]) == (Tag.VEGETATION, Tag.BUILDING)
    assert (np.delete(swap.table, [Tag.BUILDING, Tag.VEGETATION]) == np.delete(np.arange(256), [3, 9])).all()
    assert Remap.parse(str(swap)) == swap == Remap.of({"building": "vegetation", "vegetation": "building"})
    assert not Remap.parse("none")
    assert Remap.parse("") == NOTHING


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("buildings", "TAG=TAG, such as"),
        ("a=b=c", "TAG=TAG, such as"),
        ("trees=buildings", "unknown tag 'trees'"),
        ("walls=fences,wall=building", "wall cannot become fence and building"),
    ],
)
def test_a_wrong_remap_is_one_line_of_wrong_usage(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    commands = (
        ("drive",),
        ("record", "a.yaml", "--out", str(tmp_path)),
        ("replay", "a.mcap"),
        ("render", str(tmp_path), "--classes", "carla", "--out", str(tmp_path)),
    )
    for command in commands:
        first, *more = text.split(",")
        assert main([*command, "--remap", first, *(each for part in more for each in ("--remap", part))]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


def test_buildings_are_painted_as_the_vegetation_they_are_said_to_be_from_one_frame_to_the_next() -> None:
    remap = Remap.parse("buildings=vegetation")
    renderer, told = NeuralRenderer(runtime="onnxruntime", threads=1), NeuralRenderer(runtime="onnxruntime", threads=1)
    frames = [street(number) for number in range(1, 6)]
    frames[3].planes["tag"].flags.writeable = False  # as frames of the link are
    for number, frame in enumerate(frames):
        renderer.remap = remap if number in (2, 3) else NOTHING
        picture = renderer.render(frame)
        assert np.array_equal(picture, told.render(edited(frame, renderer.remap)))
        leaves = picture[18:30, :, 1].astype(int) - picture[18:30, :, 2]
        assert (leaves.mean() > 8.0) == bool(renderer.remap)
        assert (frame.planes["tag"] == street().planes["tag"]).all()


def test_lamps_of_what_is_painted_as_something_else_are_out() -> None:
    frame = street()
    frame.planes["tag"][20:24, 60:64] = Tag.TRAFFIC_LIGHT
    frame.lamps = [Lamp("traffic_light", "red", (60.0, 20.0, 64.0, 24.0), 15.0)]
    for remap, lit in ((NOTHING, True), (Remap.parse("buildings=sky"), True), (Remap.parse("trafficlight=sky"), False)):
        picture = np.zeros((64, 128, 3), np.uint8)
        lamp_drawing.draw_of(TagRenderer(), frame, picture, remap)
        assert picture.any() == lit


def test_lamps_are_drawn_only_where_the_painter_cannot_see_them() -> None:
    """It sees them in the simulator's picture, at a drive's size."""
    frame = street()
    frame.lamps = [Lamp("traffic_light", "red", (60.0, 20.0, 64.0, 24.0), 15.0)]
    seen = replace(frame, planes={**frame.planes, "rgb": np.zeros((64, 128, 3), np.uint8)})
    near = replace(seen, camera=replace(frame.camera, fov=15.0))
    painter = NeuralRenderer(runtime="onnxruntime", threads=1)
    for guide, there, drawn in (("picture", near, False), ("picture", seen, True), ("surface", near, True)):
        painter.guide = guide
        picture = np.zeros((64, 128, 3), np.uint8)
        lamp_drawing.draw_of(painter, there, picture)
        assert picture.any() == drawn


def test_the_key_goes_round_and_comes_back_to_ones_own() -> None:
    own = Remap.parse("walls=fences")
    seen = [NOTHING]
    while len(seen) == 1 or seen[-1] != NOTHING:
        seen.append(following(seen[-1], own))
    assert seen == [NOTHING, own, *(edit for _, edit in EDITS), NOTHING]
    assert following(own) == NOTHING  # of somebody else
    assert [edit.words for edit in (NOTHING, own, EDITS[0][1])] == ["", "wall=fence", EDITS[0][0]]


def test_a_recording_keeps_the_simulators_tags_and_is_repainted_as_it_was(tmp_path: Path) -> None:
    path, frames = tmp_path / "recording.mcap", [street(k) for k in range(1, 4)]
    for about, remap in (({"remap": "building=vegetation"}, Remap.parse("buildings=vegetation")), ({}, NOTHING)):
        writer = McapWriter(path, ("tag", "instance", "depth", "motion"), {"fps": "30", **about})
        assert all(writer.write(frame, None) for frame in frames)
        writer.close()
        with RecordingReader(path) as reader:
            assert (frame_of(reader.read(1)).planes["tag"] == frames[1].planes["tag"]).all()
            told, other = Repainter(reader, TAGS), Repainter(reader, TAGS, remap=Remap.parse("roads=water"))
            assert (told.paint(1)[1] == tag_picture(edited(frames[1], remap).planes["tag"])).all()
            assert (other.paint(1)[1] == tag_picture(edited(frames[1], other.remap).planes["tag"])).all()
    writer = McapWriter(path, ("tag",), {"remap": "nonsense"})
    writer.write(frames[0], None)
    writer.close()
    with RecordingReader(path) as reader, pytest.raises(RecordingError, match="nonsense"):
        Repainter(reader, TAGS)


def test_a_scenario_says_what_is_painted_as_what(tmp_path: Path) -> None:
    path = tmp_path / "edited.yaml"
    path.write_text(SCENARIO)
    assert Remap.of(load(path).scenario.remap) == Remap.parse("building=vegetation,road_line=road")
    for wrong, words in (("{trees: buildings}", "unknown tag 'trees'"), ("{wall: sky, walls: road}", "one tag twice")):
        path.write_text(SCENARIO.replace("{buildings: vegetation, road-lines: roads}", wrong))
        with pytest.raises(ScenarioError, match=words):
            load(path)


# Light


def weather(name: str) -> dict[str, float]:
    preset = getattr(carla.WeatherParameters, name)
    return {field: float(getattr(preset, field)) for field in dir(preset) if field[0].islower()}


def test_every_weather_of_carla_has_its_light() -> None:
    card = zoo.load(zoo.DEFAULT)
    names = [name for name in dir(carla.WeatherParameters) if name[0].isupper()]
    of = {name: weather_style.of_weather(weather(name), card.styles, card.default_style) for name in names}
    for name, style in of.items():
        assert (style.dtype, style.shape) == (np.float32, (len(Channel), 3)), name
        assert np.abs(style).max() <= 0.5, name
    assert (of["Default"] == card.styles[card.default_style]).all()
    assert (weather_style.of_weather({}, card.styles, "dusk") == card.styles["dusk"]).all()
    road, wall, sky = (
        {name: style[channel] for name, style in of.items()}
        for channel in (Channel.ROAD, Channel.BUILDING, Channel.SKY)
    )
    for of_class in (road, wall):  # the sun goes down
        noon, sunset, night = (of_class[f"Clear{time}"].mean() for time in ("Noon", "Sunset", "Night"))
        assert noon > sunset + 0.05 > night + 0.1
    assert sky["ClearNoon"][2] > sky["ClearNoon"][0] + 0.1  # blue by day, red in the evening, white under clouds
    assert sky["ClearSunset"][0] > sky["ClearSunset"][2] + 0.1
    assert np.ptp(sky["CloudyNoon"]) < 0.05
    assert road["WetNoon"].mean() < road["ClearNoon"].mean() - 0.1  # wet, but in the same light
    assert (wall["WetNoon"] == wall["ClearNoon"]).all()
    assert wall["HardRainNoon"].mean() < wall["WetCloudyNoon"].mean() - 0.02


def test_a_model_of_few_styles_is_lit_by_the_nearest() -> None:
    one = {"only": np.full((len(Channel), 3), 0.1, np.float32)}
    dry = weather_style.of_weather(weather("ClearNight"), one, "only")
    assert np.allclose(dry, one["only"])
    assert weather_style.derived(one) == one
    day, night = (np.full((len(Channel), 3), value, np.float32) for value in (0.2, -0.4))
    made = weather_style.derived({"day": day, "overcast": day, "dusk": night})
    assert set(made) == {"clear", "day", "overcast", "rain", "dusk", "night"}
    assert night[Channel.ROAD].mean() < made["dusk"][Channel.ROAD].mean() < day[Channel.ROAD].mean()  # not black


def test_the_light_follows_the_weather_smoothly_and_gives_way_to_a_style() -> None:
    renderer = NeuralRenderer(runtime="onnxruntime", threads=1)
    tables = []
    for number in range(40):
        renderer.follow(weather("ClearNoon") if number < 2 else weather("ClearSunset"))
        if number in (0, 39):
            renderer.render(street(number + 1))
        tables.append(renderer.feeds(street(number + 1))["style"][Channel.BUILDING].mean())
    steps = np.diff(tables[1:])
    assert (steps <= 1e-6).all()
    assert np.abs(steps).max() < 0.1 * abs(tables[-1] - tables[0]) < 0.1
    renderer.set_style("overcast")
    renderer.reset()
    assert np.allclose(renderer.feeds(street())["style"], renderer.card.styles["overcast"])
    renderer.follow(weather("ClearSunset"))
    renderer.reset()
    assert renderer.feeds(street())["style"][Channel.BUILDING].mean() == pytest.approx(tables[-1], abs=0.01)


def test_all_tags_can_be_told_apart_by_name() -> None:
    assert {named(tag.name) for tag in Tag} == {named(f"{tag.name}s".replace("_", " ")) for tag in Tag}
    assert len(Tag) == COUNT
