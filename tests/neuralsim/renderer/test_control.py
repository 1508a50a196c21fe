"""What the driver can change about the image: the remap of tags, and the light."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import carla
import numpy as np
import pytest
from helpers.frames import street

from bridge.messages import Frame, Lamp
from bridge.tags import COUNT, Tag, tag_by_name
from bridge.weather import FAIR_WEATHER
from neuralsim import zoo
from neuralsim.cli import main
from neuralsim.models.classes import Channel
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.recording.writing.mcap_writer import McapWriter
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.remap import NO_REMAP, PRESETS, Remap, next_remap
from neuralsim.renderer.views import tag_image
from neuralsim.renderer.weather import weather_style
from neuralsim.replay.recording_renderer import RecordingRenderer
from neuralsim.session.options import TAGS
from neuralsim.session.tag_renderer import TagRenderer
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


# Remaps


def test_tags_go_by_the_names_of_carla() -> None:
    for label, value in carla.CityObjectLabel.names.items():
        if label not in ("NONE", "Any"):
            assert tag_by_name(label) == int(value)
    assert [tag_by_name(text) for text in ("buildings", "road-line", "TRAFFIC_LIGHT", "buses")] == [3, 24, 7, 16]
    with pytest.raises(ValueError, match=r"unknown tag 'trees': choose unlabeled, .*vegetation"):
        tag_by_name("trees")


def test_a_remap_applies_all_pairs_at_once_and_parses_its_own_text() -> None:
    swap = Remap.parse("vegetation=buildings, Buildings=Vegetation,roads=road")
    assert (swap.table[Tag.BUILDING], swap.table[Tag.VEGETATION]) == (Tag.VEGETATION, Tag.BUILDING)
    assert (np.delete(swap.table, [Tag.BUILDING, Tag.VEGETATION]) == np.delete(np.arange(256), [3, 9])).all()
    assert Remap.parse(str(swap)) == swap == Remap.of({"building": "vegetation", "vegetation": "building"})
    assert not Remap.parse("none")
    assert Remap.parse("") == NO_REMAP


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("buildings", "TAG=TAG, such as"),
        ("a=b=c", "TAG=TAG, such as"),
        ("trees=buildings", "unknown tag 'trees'"),
        ("walls=fences,wall=building", "wall cannot become fence and building"),
    ],
)
def test_a_wrong_remap_is_one_line_of_wrong_usage(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
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
        errors = capsys.readouterr().err
        assert message in errors
        assert errors.count("\n") == 1


def test_buildings_are_rendered_as_meadows_from_one_frame_to_the_next() -> None:
    remap = Remap.parse("buildings=terrain")
    renderer, expected = (NeuralRenderer(runtime="onnxruntime", threads=1) for _ in range(2))
    frames = [street(number) for number in range(1, 6)]
    frames[3].planes["tag"].flags.writeable = False  # like frames of the link
    for number, frame in enumerate(frames):
        renderer.set_remap(remap if number in (2, 3) else NO_REMAP)
        image = renderer.render(frame)
        assert np.array_equal(image, expected.render(edited(frame, renderer.remap)))
        leaves = image[18:30, :, 1].astype(int) - image[18:30, :, 2]
        assert (leaves.mean() > 8.0) == bool(renderer.remap)
        assert (frame.planes["tag"] == street().planes["tag"]).all()


def test_lamps_of_remapped_objects_are_out() -> None:
    frame = street()
    frame.planes["tag"][20:24, 60:64] = Tag.TRAFFIC_LIGHT
    frame.lamps = [Lamp("traffic_light", "red", (60.0, 20.0, 64.0, 24.0), 15.0)]
    for remap, lit in (
        (NO_REMAP, True),
        (Remap.parse("buildings=sky"), True),
        (Remap.parse("trafficlight=sky"), False),
    ):
        renderer = TagRenderer()
        renderer.set_remap(remap)
        there, none = (renderer.render(replace(frame, lamps=lamps)) for lamps in (frame.lamps, []))
        assert (there != none).any() == lit


def test_the_key_cycles_through_the_presets_and_the_users_own_remap() -> None:
    own = Remap.parse("walls=fences")
    seen = [NO_REMAP]
    while len(seen) == 1 or seen[-1] != NO_REMAP:
        seen.append(next_remap(seen[-1], own))
    assert seen == [NO_REMAP, own, *(preset for _, preset in PRESETS), NO_REMAP]
    assert next_remap(own) == NO_REMAP  # of another user
    assert [remap.label for remap in (NO_REMAP, own, PRESETS[0][1])] == ["", "wall=fence", PRESETS[0][0]]


def test_a_recording_keeps_the_simulators_tags_and_is_rendered_again_with_its_remap(tmp_path: Path) -> None:
    path, frames = tmp_path / "recording.mcap", [street(k) for k in range(1, 4)]
    for about, remap in (({"remap": "building=vegetation"}, Remap.parse("buildings=vegetation")), ({}, NO_REMAP)):
        writer = McapWriter(path, ("tag", "instance", "depth", "motion"), {"fps": "30", **about})
        assert all(writer.write(frame, None) for frame in frames)
        writer.close()
        with RecordingReader(path) as reader:
            assert (frame_of(reader.read(1)).planes["tag"] == frames[1].planes["tag"]).all()
            recorded = RecordingRenderer(reader, TAGS)
            other = RecordingRenderer(reader, TAGS, remap=Remap.parse("roads=water"))
            assert (recorded.render(1)[1] == tag_image(edited(frames[1], remap).planes["tag"])).all()
            assert (other.render(1)[1] == tag_image(edited(frames[1], other.remap).planes["tag"])).all()
    writer = McapWriter(path, ("tag",), {"remap": "nonsense"})
    writer.write(frames[0], None)
    writer.close()
    with RecordingReader(path) as reader, pytest.raises(RecordingError, match="nonsense"):
        RecordingRenderer(reader, TAGS)


def test_a_scenario_sets_the_remap(tmp_path: Path) -> None:
    path = tmp_path / "edited.yaml"
    path.write_text(SCENARIO)
    assert Remap.of(load(path).scenario.remap) == Remap.parse("building=vegetation,road_line=road")
    for wrong, message in (
        ("{trees: buildings}", "unknown tag 'trees'"),
        ("{wall: sky, walls: road}", "one tag twice"),
    ):
        path.write_text(SCENARIO.replace("{buildings: vegetation, road-lines: roads}", wrong))
        with pytest.raises(ScenarioError, match=message):
            load(path)


# Light


def weather(name: str) -> dict[str, float]:
    preset = getattr(carla.WeatherParameters, name)
    return {field: float(getattr(preset, field)) for field in dir(preset) if field[0].islower()}


def test_every_carla_weather_has_its_light() -> None:
    card = zoo.load(zoo.DEFAULT)
    names = [name for name in dir(carla.WeatherParameters) if name[0].isupper()]
    of = {name: weather_style.style_of_weather(weather(name), card.styles, card.default_style) for name in names}
    for name, style in of.items():
        assert (style.dtype, style.shape) == (np.float32, (len(Channel), 3)), name
        assert np.abs(style).max() <= 0.5, name
    fair = weather_style.style_of_weather(FAIR_WEATHER, card.styles, card.default_style)
    assert (of["Default"] == fair).all()
    assert (weather_style.style_of_weather({}, card.styles, "dusk") == card.styles["dusk"]).all()
    road, wall, sky = (
        {name: style[channel] for name, style in of.items()}
        for channel in (Channel.ROAD, Channel.BUILDING, Channel.SKY)
    )
    low = weather("ClearSunset") | {"sun_altitude_angle": 6.0}
    evening = weather_style.style_of_weather(low, card.styles, card.default_style)
    for channel, of_class in ((Channel.ROAD, road), (Channel.BUILDING, wall)):  # the sun goes down
        noon, night = of_class["ClearNoon"].mean(), of_class["ClearNight"].mean()
        assert noon > evening[channel].mean() + 0.05 > night + 0.1
        warmth = {name: colour[0] - colour[2] for name, colour in of_class.items()}
        assert warmth["ClearSunset"] > warmth["ClearNoon"] + 0.02  # 15 degrees high, it is still bright
    assert sky["ClearNoon"][2] > sky["ClearNoon"][0] + 0.1  # blue by day, red in the evening, white under clouds
    assert evening[Channel.SKY][0] > evening[Channel.SKY][2] + 0.1
    assert np.ptp(sky["CloudyNoon"]) < 0.05
    assert road["WetNoon"].mean() < road["ClearNoon"].mean() - 0.1  # wet, but in the same light
    assert (wall["WetNoon"] == wall["ClearNoon"]).all()
    assert wall["HardRainNoon"].mean() < wall["WetCloudyNoon"].mean() - 0.02


def test_a_model_with_few_styles_uses_the_nearest() -> None:
    one = {"only": np.full((len(Channel), 3), 0.1, np.float32)}
    dry = weather_style.style_of_weather(weather("ClearNight"), one, "only")
    assert np.allclose(dry, one["only"])
    assert weather_style.derive_styles(one) == one
    day, night = (np.full((len(Channel), 3), value, np.float32) for value in (0.2, -0.4))
    derived = weather_style.derive_styles({"day": day, "overcast": day, "dusk": night})
    assert set(derived) == {"clear", "day", "overcast", "rain", "dusk", "night"}
    assert night[Channel.ROAD].mean() < derived["dusk"][Channel.ROAD].mean() < day[Channel.ROAD].mean()  # not black


def test_the_light_follows_the_weather_smoothly_and_gives_way_to_a_style() -> None:
    renderer = NeuralRenderer(runtime="onnxruntime", threads=1)
    renderer.prepare((128, 64))
    tables = []
    for number in range(40):
        renderer.follow(weather("ClearNoon") if number < 2 else weather("ClearSunset"))
        renderer.advance(street(number + 1))
        tables.append(renderer.encode(street(number + 1)).tensors["style"][Channel.BUILDING].mean())
    steps = np.diff(tables[1:])
    assert (steps <= 1e-6).all()
    assert np.abs(steps).max() < 0.1 * abs(tables[-1] - tables[0]) < 0.1
    renderer.set_style("overcast")
    renderer.reset()
    assert np.allclose(renderer.encode(street()).tensors["style"], renderer.card.styles["overcast"])
    renderer.follow(weather("ClearSunset"))
    renderer.reset()
    assert renderer.encode(street()).tensors["style"][Channel.BUILDING].mean() == pytest.approx(tables[-1], abs=0.01)


def test_all_tags_have_distinct_names() -> None:
    assert {tag_by_name(tag.name) for tag in Tag} == {tag_by_name(f"{tag.name}s".replace("_", " ")) for tag in Tag}
    assert len(Tag) == COUNT
