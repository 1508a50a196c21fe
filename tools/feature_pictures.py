"""The pictures of ``gym.md``, ``perception.md`` and ``recordings.md``, which show generated images with their labels.

``python tools/feature_pictures.py [gym|perception|detection ...]`` from the repository's root, with the ``gym`` extra;
writes docs/img/NAME.jpg.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bridge.messages import Frame
from bridge.tags import COLOURS
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, HERE, MetricNetwork
from neuralsim.evaluation.real_clip import camvid_label, camvid_of_tag, metric_size
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of, image_of
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.views import depth_image
from neuralsim.town.town_drive import TownDrive

ROOT = Path(__file__).resolve().parents[1]
WIDE = 1152  # px, of every picture
#: What an agent sees: the options of the environment and of its reset, and the steps that its expert drives.
EPISODES: tuple[tuple[dict[str, Any], dict[str, Any], int], ...] = (
    ({}, {}, 90),
    ({}, {"options": {"scenario": "cut_in"}}, 130),
    ({"weather": "WetSunset"}, {}, 150),
)
SCENARIO, MOMENT = "dense_traffic", 180  # what is recorded for detectors, and the frame of it that is shown
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b).bit_count() == 1]  # of a box, by corners' bits


def gym() -> np.ndarray:
    """Tags above, pictures below, of each of ``EPISODES``."""
    import gymnasium

    import neuralsim.gym  # noqa: F401 (registers the environments)

    columns = []
    for options, reset, steps in EPISODES:
        env = gymnasium.make("NeuralSim/Drive-v0", observation="both", **options)
        seen, _ = env.reset(seed=3, **reset)
        for _ in range(steps):
            seen, _, ended, late, _ = env.step(cast(Any, env.unwrapped).expert())
            if ended or late:
                raise RuntimeError(f"the episode {options | reset} is over before step {steps}")
        env.close()
        columns.append(np.vstack([COLOURS[seen["tags"][..., 0]], seen["picture"]]))
    return wide(np.hstack(columns))


def perception() -> np.ndarray:
    """The simulator's image above, the generated one below; next to each what the segmenter makes of it; on the right
    the tags, and CamVid's labels of the same frame."""
    town, renderer = TownDrive(seed=0), NeuralRenderer("street-rt")
    town.ride(among_people=True)
    for _ in range(60):
        frame = town.next_frame(colour="rgb")
        renderer.follow(frame.weather)
        generated = renderer.render(frame)
    to_camvid, segmenter = camvid_of_tag(), MetricNetwork(HERE / "segmenter.onnx")
    colours = np.array([COLOURS[int(np.flatnonzero(to_camvid == k)[0])] for k in range(len(CAMVID_CLASSES) + 1)])
    tag = frame.planes["tag"]
    rows = [
        np.hstack([picture, scaled(colours[segmenter(metric_size(picture, cv2.INTER_AREA))[0]], picture), labels])
        for picture, labels in (
            (frame.planes["rgb"], COLOURS[tag]),
            (generated, colours[camvid_label(tag, frame.planes["instance"])]),
        )
    ]
    return wide(np.vstack(rows))


def detection() -> np.ndarray:
    """A generated image; COCO's masks and boxes; boxes in three dimensions, as KITTI has them; depth."""
    with tempfile.TemporaryDirectory() as folder:
        record = [sys.executable, "-m", "neuralsim", "record", SCENARIO, "--out", folder, "--format", "mcap"]
        subprocess.run([*record, "--planes", "tag,instance,depth,motion,rgb,neural"], cwd=ROOT, check=True)
        mcap = next(Path(folder).rglob("*.mcap"))
        export = [sys.executable, "-m", "neuralsim", "recording", "export", str(mcap), "--format", "coco"]
        subprocess.run([*export, "--out", folder], cwd=ROOT, check=True)
        found = json.loads((Path(folder) / "coco" / "annotations.json").read_text(encoding="utf-8"))["annotations"]
        with RecordingReader(mcap) as recording:
            recorded = recording.read(recording.first + MOMENT)
    frame, generated = frame_of(recorded), image_of(recorded, "neural")
    flat, solid = generated.copy(), generated.copy()
    for each in (each for each in found if each["image_id"] == recorded.index):
        colour = bright(each["instance"])
        mask = frame.planes["instance"] == each["instance"]
        flat[mask] = (0.45 * flat[mask] + 0.55 * np.array(colour)).astype(np.uint8)
        x, y, width, height = (round(value) for value in each["bbox"])
        cv2.rectangle(flat, (x, y), (x + width, y + height), colour, 1, cv2.LINE_AA)
        if "box3d" in each:
            outline(solid, frame, each["box3d"], colour)
    depth = depth_image(frame.planes["depth"])
    return wide(np.vstack([np.hstack([generated, flat]), np.hstack([solid, depth])]))


def outline(picture: np.ndarray, frame: Frame, box: dict[str, Any], colour: tuple[int, int, int]) -> None:
    """Draw a box as ``neuralsim.recording.detection.box3d`` gives it."""
    camera = frame.camera
    height, width, length = box["dimensions"]
    turn = box["rotation_y"]
    axes = np.array([[np.cos(turn), 0.0, -np.sin(turn)], [0.0, -1.0, 0.0], [np.sin(turn), 0.0, np.cos(turn)]])
    bits = np.array([[k >> 2 & 1, k >> 1 & 1, k & 1] for k in range(8)], float)
    corners = (bits - [0.5, 0.0, 0.5]) * [length, height, width] @ axes + box["location"]
    if corners[:, 2].min() < 0.1:
        return
    points = corners[:, :2] / corners[:, 2:] * camera.focal + [camera.width / 2.0, camera.height / 2.0]
    for a, b in _EDGES:
        ends = [tuple(int(value) for value in np.round(points[k] * 16)) for k in (a, b)]
        cv2.line(picture, ends[0], ends[1], colour, 1, cv2.LINE_AA, 4)


def bright(number: int) -> tuple[int, int, int]:
    """A colour of its own for each object."""
    hue = np.array([[[number * 67 % 180, 150, 255]]], np.uint8)
    red, green, blue = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def scaled(labels: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Labels' colours at the size of a picture."""
    return np.asarray(cv2.resize(labels, like.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def wide(picture: np.ndarray) -> np.ndarray:
    """At the width of the page."""
    height = round(picture.shape[0] * WIDE / picture.shape[1])
    smaller = picture.shape[1] > WIDE
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (WIDE, height), interpolation=how), np.uint8)


def main() -> int:
    pictures = {"gym": gym, "perception": perception, "detection": detection}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *pictures], help="all by default")
    for name in parser.parse_args().names or pictures:
        out = ROOT / "docs" / "img" / f"{name}.jpg"
        cv2.imwrite(str(out), pictures[name]()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
        print(out.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
