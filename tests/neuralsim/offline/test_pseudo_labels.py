"""Pseudo-labels: any segmenter's classes as label maps that can be trained on and rendered."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from neuralsim import cli
from neuralsim.imaging.image_files import read_ids
from neuralsim.training.config import Source
from neuralsim.training.data.datasets import find

RED, GREEN, BLUE = 0, 1, 2  # what the networks here know: which channel is the strongest


def halves(width: int = 96, height: int = 64) -> np.ndarray:
    """A image, RGB: left red, right blue."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[:, : width // 2, RED] = 220
    image[:, width // 2 :, BLUE] = 220
    return image


def network(path: Path, kind: str) -> Path:
    """A segmenter whose scores are the channels of its input, at a quarter of the size; of one of several ``kind``."""
    plane, floats = helper.make_tensor_value_info, TensorProto.FLOAT
    pool = {"kernel_shape": [4, 4], "strides": [4, 4]}
    if kind == "scores":  # floats in, channels first, free size: as PyTorch's are exported
        nodes = [helper.make_node("AveragePool", ["x"], ["y"], **pool)]
        x = plane("x", floats, ["n", 3, "h", "w"])
        y = plane("y", floats, ["n", 3, "h4", "w4"])
    elif kind == "classes":  # bytes in, channels last, fixed size: as TensorFlow's are
        nodes = [helper.make_node("ArgMax", ["x"], ["y"], axis=3, keepdims=0, select_last_index=0)]
        nodes.insert(0, helper.make_node("Cast", ["raw"], ["x"], to=floats))
        x = plane("raw", TensorProto.UINT8, [1, 32, 48, 3])
        y = plane("y", TensorProto.INT64, [1, 32, 48])
    else:  # one channel: no picture's network
        nodes = [helper.make_node("Identity", ["x"], ["y"])]
        x = plane("x", floats, [1, 1, 32, 32])
        y = plane("y", floats, [1, 1, 32, 32])
    graph = helper.make_graph(nodes, kind, [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), halves()[..., ::-1])
    cv2.imwrite(str(tmp_path / "images/b.jpg"), halves(130, 70)[..., ::-1])
    return tmp_path / "images"


def classes(folder: Path) -> str:
    (folder / "my.yaml").write_text("labels: {0: road, 2: sky}")
    return str(folder / "my.yaml")


@pytest.mark.parametrize("kind", ["scores", "classes"])
def test_labels_are_the_networks_classes_at_the_images_size_and_can_be_trained_on(
    tmp_path: Path, images: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, out = network(tmp_path / "net.onnx", kind), tmp_path / "labels"
    command = ["images", "label", str(images), "--segmenter", str(graph), "--out", str(out)]
    command += ["--classes", classes(tmp_path)]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == f"{out}: 2 label maps\n"
    for name, width, height in (("a", 96, 64), ("b", 130, 70)):
        label = read_ids(out / f"{name}.png")
        assert label.shape == (height, width)
        assert (label[:, : width // 2 - 4] == RED).all()
        assert (label[:, width // 2 + 4 :] == BLUE).all()
    assert len(find(Source(root=str(tmp_path), classes=classes(tmp_path))).items) == 2
    assert cli.main([*command, "--bgr"]) == 0
    assert (read_ids(out / "a.png")[:, :40] == BLUE).all()


def test_a_video_becomes_images_and_labels_to_train_on(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(5):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(halves(), format="rgb24")))
        file.mux(stream.encode(None))
    graph = network(tmp_path / "net.onnx", "scores")
    command = ["images", "label", str(tmp_path / "clip.mp4"), "--segmenter", str(graph), "--classes", classes(tmp_path)]
    assert cli.main([*command, "--out", str(tmp_path / "set"), "--every", "2"]) == 0
    items = find(Source(root=str(tmp_path / "set"), classes=classes(tmp_path))).items
    assert [item.image.stem for item in items] == ["clip_000000", "clip_000002", "clip_000004"]
    assert (read_ids(items[1].label)[:, :40] == RED).all()


def test_unknown_classes_and_damaged_images_are_counted(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "b.jpg").write_bytes(b"no picture")
    (tmp_path / "my.yaml").write_text("labels: {2: sky}")
    graph = network(tmp_path / "net.onnx", "classes")
    command = ["images", "label", str(images), "--segmenter", str(graph), "--classes", str(tmp_path / "my.yaml")]
    assert cli.main([*command, "--out", str(tmp_path / "labels")]) == 1
    said = capsys.readouterr()
    assert f"label {RED} is not in the class map: {48 * 64} pixels" in said.out
    assert said.out.endswith("1 label maps, 1 images skipped\n")
    assert said.err == f"neuralsim: {images}/b.jpg: damaged or not an image: skipped\n"


@pytest.mark.parametrize(
    ("what", "complaint"),
    [
        ("grey", "expected one input, one RGB image; it takes x [1, 1, 32, 32]"),
        ("text", "not a network that ONNX Runtime can run"),
        ("none", "no such file"),
        ("output", "no output 'depth'; there are y"),
        ("odd", "neither a folder of images nor a video"),
    ],
)
def test_unusable_input_is_one_line(
    tmp_path: Path, images: Path, what: str, complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = tmp_path / "net.onnx"
    if what == "text":
        graph.write_text("no network")
    elif what != "none":
        network(graph, "grey" if what == "grey" else "scores")
    odd = classes(tmp_path) if what == "odd" else str(images)
    command = ["images", "label", odd, "--segmenter", str(graph), "--out", str(tmp_path / "out")]
    command += ["--classes", classes(tmp_path)]
    assert cli.main([*command, *(["--output", "depth"] if what == "output" else [])]) == 1
    said = capfd.readouterr()
    assert complaint in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
