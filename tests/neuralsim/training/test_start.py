"""Going on from an exported model, and pairs made of the labels of real pictures."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import yaml

torch = pytest.importorskip("torch", reason="training needs the train extra")


from neuralsim import cli, zoo  # noqa: E402
from neuralsim.models import onnx_export  # noqa: E402
from neuralsim.models.classes import CHANNELS, Channel  # noqa: E402
from neuralsim.models.generator import SIZES, Generator  # noqa: E402
from neuralsim.models.input_planes import Surface  # noqa: E402
from neuralsim.models.video_generator import GeneratorGraph  # noqa: E402
from neuralsim.training.data.conditioning import Picture  # noqa: E402
from neuralsim.training.data.map_pairs import map_pair  # noqa: E402
from neuralsim.training.data.simulated_pairs import load_clip, load_pair, pair_files  # noqa: E402
from neuralsim.training.pretrained import load_weights  # noqa: E402
from neuralsim.training.run import load_generator  # noqa: E402

pytestmark = pytest.mark.slow

SIZE = 256, 128  # px of the pairs


def street() -> Picture:
    """Houses left and right of a road with a car on it, and with lines."""
    label = np.full((180, 320), Channel.ROAD, np.uint8)
    label[:60] = Channel.SKY
    label[20:110, :120] = label[30:110, 200:] = Channel.BUILDING
    label[95:125, 140:180] = Channel.VEHICLE
    label[130:170, 100:104] = Channel.ROAD_LINE
    return Picture("street", np.zeros((180, 320, 3), np.uint8), label, None, "own")


def surface() -> Surface:
    rng = np.random.default_rng(0)
    return Surface(rng.uniform(-0.4, 0.4, (3, 256, 3)), rng.uniform(-0.1, 0.1, (256, 3)))


def pair(seed: int) -> dict[str, np.ndarray]:
    style = torch.linspace(-0.4, 0.4, 14)[:, None].repeat(1, 3)
    return map_pair(street(), surface(), style, *SIZE, np.random.default_rng(seed))


# The weights ----------------------------------------------------------------------------------------------------------


def test_a_generator_gets_the_shipped_weights_back_from_the_graph() -> None:
    torch.manual_seed(0)
    ours, other = Generator(SIZES["street-rt"]), Generator(SIZES["street-rt"])
    load_weights(ours, "street-rt")
    load_weights(other, str(zoo.HERE / "street-rt"))
    for (name, mine), theirs in zip(ours.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), f"{name} was not loaded"


def test_a_generator_that_sees_the_past_may_begin_as_one_that_does_not(tmp_path: Path) -> None:
    alone = replace(SIZES["street-rt"], past_frames=0, past=())
    torch.manual_seed(0)
    first = Generator(alone)
    path = tmp_path / "model.onnx"
    onnx_export.to_onnx(GeneratorGraph(surface(), first).eval(), path)
    card = onnx_export.card("own", path, {"day": np.zeros((CHANNELS, 3))}, GeneratorGraph(surface(), first))
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card | {"default_style": "day", "licence": "mine"}))
    seeing = Generator(replace(alone, past_frames=1, past=(8,) * 5))
    before = {name: value.clone() for name, value in seeing.state_dict().items()}
    load_weights(seeing, str(tmp_path))
    for name, value in seeing.state_dict().items():
        expected = first.state_dict().get(name, before[name])
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-4, msg=name)
    with pytest.raises(zoo.ModelError, match="another architecture"):
        load_weights(Generator(replace(alone, head=8)), str(tmp_path))


def test_a_graph_with_the_older_prefix_has_the_same_weights(tmp_path: Path) -> None:
    """New graphs name their tensors `generator.`, the shipped ones `painter.`."""
    torch.manual_seed(0)
    first, second, third = (Generator(SIZES["street-rt"]) for _ in range(3))
    path = tmp_path / "model.onnx"
    whole = GeneratorGraph(surface(), first).eval()
    onnx_export.to_onnx(whole, path)
    card = onnx_export.card("own", path, {"day": np.zeros((CHANNELS, 3))}, whole)
    load_model_into = {"generator.": second, "painter.": third}
    for prefix, into in load_model_into.items():
        graph = onnx.load(str(path))
        for each in graph.graph.initializer:
            each.name = each.name.replace("generator.", prefix)
        for node in graph.graph.node:
            for names in (node.input, node.output):
                names[:] = [name.replace("generator.", prefix) for name in names]
        onnx.save(graph, str(path))
        own = card | {"default_style": "day", "licence": "mine", "sha256": sha256(path.read_bytes()).hexdigest()}
        (tmp_path / "card.yaml").write_text(yaml.safe_dump(own))
        load_weights(into, str(tmp_path))
        assert any(each.name.startswith(prefix) for each in graph.graph.initializer)
    for (name, value), other in zip(second.state_dict().items(), third.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
        torch.testing.assert_close(value, first.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)


def test_what_was_exported_is_what_a_run_begins_with(tmp_path: Path) -> None:
    """A run of no step at all from the shipped model has its weights, to the bit."""
    folder = tmp_path / "own"
    for kind, plane in (("images", np.full((64, 96, 3), 90, np.uint8)), ("labels", np.ones((64, 96), np.uint8))):
        (folder / kind).mkdir(parents=True)
        cv2.imwrite(str(folder / kind / "p.png"), plane)
    config = {
        "out": str(tmp_path / "run"), "start": "street-rt", "width": 64, "height": 32, "steps": 1, "rate": 1e-12,
        "data": [{"root": str(folder), "classes": "carla"}],
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    torch.set_num_threads(1)
    assert cli.main(["model", "train", str(tmp_path / "run.yaml")]) == 0
    shipped = Generator(SIZES["street-rt"])
    load_weights(shipped, "street-rt")
    label, tint, detail = torch.zeros(1, 32, 64).long() + 3, torch.zeros(1, 3, 32, 64), torch.zeros(1, 2, 16, 32)
    with torch.no_grad():
        ours, theirs = (each.eval()(label, tint, detail) for each in (load_generator(tmp_path / "run"), shipped))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_a_model_of_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    smaller = Generator(replace(SIZES["street-rt"], decoder=(16,) * 5))
    with pytest.raises(zoo.ModelError, match="of another architecture than the run's, without '"):
        load_weights(smaller, "street-rt")
    with pytest.raises(zoo.ModelError, match="unknown model 'street-ft'"):
        load_weights(smaller, "street-ft")


# Pairs of maps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_second_frame_of_a_pair_shows_the_first_one_moved(seed: int) -> None:
    planes = pair(seed)
    label, motion, visible = planes["label"], planes["motion"][0].astype(int), planes["visible"][0]
    rows, columns = np.nonzero(visible)
    assert 0.8 * SIZE[0] * SIZE[1] < len(rows) <= SIZE[0] * SIZE[1]
    x, y = columns + motion[rows, columns, 0], rows + motion[rows, columns, 1]
    assert (label[1][rows, columns] == label[0][y, x]).all()
    tint = planes["tint"].transpose(0, 2, 3, 1)
    assert (tint[1][rows, columns] == tint[0][y, x]).all()


def test_maps_get_the_planes_of_a_rendered_map() -> None:
    """Fronts on the houses, glass on the car, the style's colours; lines in some, for most data sets label none."""
    planes = [pair(seed) for seed in range(8)]
    for each in planes:
        small = each["label"][1][::2, ::2]
        wall = each["detail"][1, 1][small == Channel.BUILDING].astype(np.float32)
        assert wall.std() > 0.1, "windows"
        assert each["detail"][1, 1][small == Channel.VEHICLE].min() < -0.4, "glass or wheels"
        sky = each["tint"][1][:, each["label"][1] == Channel.SKY]
        assert np.allclose(sky, np.linspace(-0.4, 0.4, 14)[Channel.SKY], atol=1e-3)
    lines = [bool((each["label"] == Channel.ROAD_LINE).any()) for each in planes]
    assert 0 < sum(lines) < len(lines)


def test_rollouts_take_drives_and_leave_pairs_of_maps_alone(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "map_000_00000.npz", **pair(0))
    assert load_pair(pair_files(tmp_path)[0]).label.shape == (2, SIZE[1], SIZE[0])
    with pytest.raises(FileNotFoundError):
        pair_files(tmp_path, driven=True)
    np.savez_compressed(tmp_path / "oldtown_000_00000.npz", **pair(1))
    assert [path.name for path in pair_files(tmp_path, driven=True)] == ["oldtown_000_00000.npz"]
    assert load_clip(tmp_path / "oldtown_000_00000.npz", 2).frames == 2
