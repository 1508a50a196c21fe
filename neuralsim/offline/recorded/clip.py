"""A clip: the planes of one camera, paired frame by frame, and how each of them is coded."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from bridge.geometry import focal_length
from neuralsim.imaging.image_files import ImageError
from neuralsim.offline.recorded import content, depth_codes, tag_codes
from neuralsim.offline.recorded import poses as pose_files
from neuralsim.offline.recorded.depth_codes import DepthCode
from neuralsim.offline.recorded.finder import FoundClip, PlaneFiles
from neuralsim.offline.recorded.plane_source import PlaneSource
from neuralsim.offline.recorded.poses import Poses
from neuralsim.offline.recorded.tag_codes import Edition, TagCode

FOV = 90.0  # degrees, of a camera of CARLA's unless it is set
_SAMPLES = 6  # pictures that the codes are judged by
_SHOWN = 3  # files that a line names
_HOLE = 1.5  # times the usual step between frame numbers
_LEAST_STEPS = 3  # between frames, to know the usual one


@dataclass(frozen=True)
class ClipSettings:
    """What the user has said about clips; None: to be found out."""

    fov: float | None = None  # degrees
    edition: Edition | None = None
    depth_step: float | None = None  # m per step of 16-bit depths
    poses: Path | None = None


@dataclass
class Clip:
    """The planes of one camera.

    Attributes:
        key: Path of the clip below the folder, "" for a single one.
        sources: Its planes by kind.
        stems: Names of the images to write, one per frame.
        places: By kind, the place of each frame in that plane, None where it lacks.
        begins: Frames, by number, before which something is missing or another scene ends.
        scenes: Those of them that begin another scene.
        tag_code: How the tags, or the instances' red channel, are coded.
        depth_code: How the depths are, None without depths.
        poses: The camera's poses, None without any.
        pose_places: The place of each frame in ``poses``, None where it lacks.
        fov: Horizontal field of view, degrees.
        is_motion_estimated: Whether the motion files were computed from pictures, as by ``neuralsim images flow``.
        problems: What is missing, one line each.
    """

    key: str
    sources: dict[str, PlaneSource]
    stems: list[str]
    places: dict[str, list[int | None]]
    begins: set[int]
    scenes: set[int]
    tag_code: TagCode
    depth_code: DepthCode | None = None
    poses: Poses | None = None
    pose_places: list[int | None] = field(default_factory=list)
    fov: float = FOV
    is_motion_estimated: bool = False
    problems: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.stems)

    @property
    def reference(self) -> str:
        """Return the kind of the plane that tags come from."""
        return "tags" if "tags" in self.sources else "instances"

    def read(self, kind: str, frame: int) -> tuple[np.ndarray, str] | None:
        """Return the picture of a plane in a frame and its file, None where there is none. Raises ImageError."""
        place = self.places.get(kind, [None] * len(self))[frame]
        if place is None:
            return None
        source = self.sources[kind]
        return source.read(place), source.label(place)

    def pose(self, frame: int) -> np.ndarray | None:
        """Return the camera's pose f64 (4, 4) in a frame, None where it is not known."""
        place = self.pose_places[frame] if self.poses is not None else None
        return self.poses.poses[place] if self.poses is not None and place is not None else None

    def time(self, frame: int, fps: float) -> float:
        """Return the time of a frame, s: that of its pose, else by its number, at ``fps`` frames per second."""
        place = self.pose_places[frame] if self.poses is not None and self.has_times else None
        if self.poses is None or self.poses.times is None or place is None:
            return frame / fps
        return self.poses.times[place]

    @property
    def has_times(self) -> bool:
        """Return whether every frame has a time, each later than the one before."""
        if self.poses is None or self.poses.times is None or None in self.pose_places:
            return False
        times = [self.poses.times[place] for place in self.pose_places if place is not None]
        return all(before < after for before, after in pairwise(times))

    def scene(self, frame: int) -> range:
        """Return the frames of the scene of a frame: of one town, camera and weather, as far as names tell."""
        first = max((start for start in self.scenes if start <= frame), default=0)
        return range(first, min((start for start in self.scenes if start > frame), default=len(self)))

    def describe(self) -> str:
        """Return in one line what was found."""
        parts = [f"tags: {self.tag_code}" + ("" if self.reference == "tags" else ", of the instances")]
        parts += [kind for kind in ("rgb", "instances") if kind in self.sources]
        parts += [f"depth: {self.depth_code}"] if self.depth_code else []
        parts += [kind for kind in ("flow", "motion") if kind in self.sources]
        parts += [f"poses: {self.poses.file.name}"] if self.poses else []
        return "; ".join(parts)

    def close(self) -> None:
        """Close its videos."""
        for source in self.sources.values():
            source.close()


def open_clip(found: FoundClip, settings: ClipSettings) -> Clip:
    """Return a clip of what was found. Raises ImageError: it has no tags, or their code is not known."""
    planes = dict(found.planes)
    for unnamed in found.unnamed:
        kind = _kind_by_content(unnamed)
        planes.setdefault(kind, PlaneFiles(kind, unnamed.files, unnamed.names))
    problems = [f"{place}: another plane of the same kind is used" for place in found.unused]
    place = next(iter(planes.values())).place
    reference = "tags" if "tags" in planes else "instances"
    if reference not in planes:
        kinds = ", ".join(f"{kind} in {plane.place}" for kind, plane in sorted(planes.items()))
        raise ImageError(f"{place}: no tags and no instances, only {kinds}; --tags says where they are")
    sources: dict[str, PlaneSource] = {}
    for kind, plane in planes.items():
        try:
            sources[kind] = PlaneSource(plane)
        except ImageError as error:
            if kind == reference:
                raise
            problems.append(f"{error}: rendered without")
    if not len(sources[reference]):
        raise ImageError(f"{planes[reference].place}: 0 frames")
    places, missing = _paired(sources, reference)
    problems += missing
    begins, scenes, holes = _begins(planes[reference], len(sources[reference]))
    problems += holes
    names = sources.get("rgb", sources[reference]), places.get("rgb", places[reference])
    stems = [
        sources[reference].stem(frame) if names[1][frame] is None else names[0].stem(int(names[1][frame] or 0))
        for frame in range(len(sources[reference]))
    ]
    if len(set(stems)) < len(stems):  # of several folders
        stems = [f"{frame:06d}" for frame in range(len(stems))]
    clip = Clip(found.key, sources, stems, places, begins, scenes, TagCode("0.9.14"), problems=problems)
    _find_poses(clip, found, settings)
    clip.fov = settings.fov or (clip.poses.fov if clip.poses and clip.poses.fov else FOV)
    _find_codes(clip, settings)
    return clip


def _kind_by_content(plane: PlaneFiles) -> str:
    """Return the kind of most of a few pictures. Raises ImageError."""
    source = PlaneSource(plane)
    kinds: Counter[str] = Counter()
    for place in np.unique(np.linspace(0, len(source) - 1, _SAMPLES).astype(int)).tolist():
        try:
            kinds[content.kind_of(source.read(place), source.label(place))] += 1
        except ImageError:
            if not kinds and place == len(source) - 1:
                raise
    return kinds.most_common(1)[0][0]


def _paired(sources: Mapping[str, PlaneSource], reference: str) -> tuple[dict[str, list[int | None]], list[str]]:
    """Return the place of each frame of the ``reference`` in every plane, and a line for each that lacks some.

    By equal names, else by equal frame numbers, else by order.
    """
    base = sources[reference]
    places: dict[str, list[int | None]] = {reference: list(range(len(base)))}
    problems = []
    for kind, source in sources.items():
        if kind == reference:
            continue
        by_name = _by_name(base, source)
        if by_name is None:
            by_name = [frame if frame < len(source) else None for frame in range(len(base))]
        places[kind] = by_name
        lacking = [frame for frame, place in enumerate(by_name) if place is None]
        if lacking:
            shown = _names([base.label(frame) for frame in lacking])
            problems.append(f"{source.plane.place}: no {kind} for {len(lacking)} of {len(base)} frames: {shown}")
        used = {place for place in by_name if place is not None}
        spare = [place for place in range(len(source)) if place not in used]
        if spare and kind == "rgb":
            shown = _names([source.label(place) for place in spare])
            problems.append(f"{base.plane.place}: no tags for {len(spare)} of {len(source)} pictures: {shown}")
    return places, problems


def _by_name(base: PlaneSource, other: PlaneSource) -> list[int | None] | None:
    """Return the place in ``other`` of each frame of ``base`` by their names, None where hardly any has a partner."""
    if base.plane.is_video or other.plane.is_video:
        return None
    for key in (lambda name: name, lambda name: (name.scene, name.numbers[-1:]), lambda name: name.numbers[-1:]):
        table = {key(name): place for place, name in enumerate(other.plane.names)}
        keys = [key(name) for name in base.plane.names]
        if len(set(keys)) < len(keys) or len(table) < len(other.plane.names):
            continue
        found = [table.get(each) for each in keys]
        if sum(place is not None for place in found) >= 0.5 * min(len(base), len(other)):
            return found
    return None if len(base) != len(other) else list(range(len(base)))


def _names(labels: list[str]) -> str:
    shown = ", ".join(Path(label).name for label in labels[:_SHOWN])
    return shown if len(labels) <= _SHOWN else f"{shown} ... {Path(labels[-1]).name}"


def _begins(plane: PlaneFiles, count: int) -> tuple[set[int], set[int], list[str]]:
    """Return the frames that begin anew: the first, those of another scene, those after a hole.

    Then those of them that begin a scene, and a line per hole.
    """
    begins: set[int] = {0}
    scenes: set[int] = {0}
    problems: list[str] = []
    if plane.is_video:
        return begins, scenes, problems
    steps: list[int | None] = [None]
    for before, after in pairwise(plane.names):
        same = before.scene == after.scene and before.numbers and after.numbers
        steps.append(after.numbers[-1] - before.numbers[-1] if same else None)
    known = [step for step in steps if step is not None and step > 0]
    usual = float(np.median(known)) if len(known) >= _LEAST_STEPS else 0.0
    for frame in range(1, count):
        step = steps[frame]
        if step is None and plane.names[frame - 1].scene != plane.names[frame].scene:
            begins.add(frame)
            scenes.add(frame)
        elif step is not None and usual and step > _HOLE * usual:
            begins.add(frame)
            lost = max(round(step / usual) - 1, 1)
            files = f"{plane.files[frame - 1].name} and {plane.files[frame].name}"
            problems.append(f"{plane.place}: {lost} frames missing between {files}; the clip begins anew there")
    return begins, scenes, problems


def _find_poses(clip: Clip, found: FoundClip, settings: ClipSettings) -> None:
    """Read the first file of poses that has some; a file that the user names must have."""
    files = [settings.poses] if settings.poses else found.poses
    camera = int(clip.key[-1]) if clip.key[-7:-1] == "camera" and clip.key[-1:].isdigit() else 0
    plane = clip.sources.get("rgb", clip.sources[clip.reference]).plane
    complaint: ImageError | None = None
    for file in files:
        try:
            clip.poses = pose_files.load(file, plane.files, camera)
            break
        except ImageError as error:
            complaint = complaint or error
    if clip.poses is None:
        if settings.poses and complaint:
            raise complaint
        if complaint and any(word in complaint.args[0].lower() for word in ("damaged", "not finite")):
            clip.problems.append(f"{complaint}: rendered without")
        return
    count = len(clip.poses.poses)
    names = clip.sources[clip.reference].plane.names
    frames = [None if clip.sources[clip.reference].plane.is_video else name.numbers[-1:] for name in names]
    table = {number: place for place, number in enumerate(clip.poses.numbers or ())}
    by_number = [table.get(number[-1]) if number else None for number in frames]
    if sum(place is not None for place in by_number) >= 0.5 * min(len(clip), count) and len(by_number) == len(clip):
        clip.pose_places = by_number
    else:
        clip.pose_places = [frame if frame < count else None for frame in range(len(clip))]
    lacking = [frame for frame, place in enumerate(clip.pose_places) if place is None]
    if lacking:
        source = clip.sources[clip.reference]
        shown = _names([source.label(frame) for frame in lacking])
        clip.problems.append(
            f"{clip.poses.file}: {count} poses, but {len(clip)} frames: none for {len(lacking)}: {shown}"
        )


def _find_codes(clip: Clip, settings: ClipSettings) -> None:
    """Find out how tags and depths are coded, from a few frames. Raises ImageError."""
    tags: list[tuple[np.ndarray, str]] = []
    depths: list[tuple[np.ndarray, str]] = []
    depth_tags: list[int] = []
    complaint: ImageError | None = None
    for frame in _spread(len(clip)):
        try:
            read = clip.read(clip.reference, frame)
            assert read is not None
            image, label = read
            if clip.reference == "instances":
                image = red_of(image, label)
            tags.append((tag_codes.split(image, label)[0], label))
        except ImageError as error:
            complaint = complaint or error
            continue
        if "depth" in clip.sources:
            try:
                depth = clip.read("depth", frame)
            except ImageError:
                continue
            if depth is not None:
                depths.append(depth)
                depth_tags.append(len(tags) - 1)
    if not tags:
        assert complaint is not None
        raise complaint
    clip.tag_code = tag_codes.find_code(tags, settings.edition)
    if "depth" not in clip.sources:
        return
    try:
        if not depths:
            raise ImageError(f"{clip.sources['depth'].plane.place}: no depth can be read")
        decoded = [tag_codes.decode(*_of(tags[row], clip.tag_code))[0] for row in depth_tags]
        focal = focal_length(depths[0][0].shape[1], clip.fov)
        clip.depth_code = depth_codes.find_code(depths, decoded, focal, settings.depth_step)
    except ImageError as error:
        clip.problems.append(f"{error}: rendered without depths")
        del clip.sources["depth"], clip.places["depth"]


def _of(sample: tuple[np.ndarray, str], code: TagCode) -> tuple[np.ndarray, TagCode, str]:
    return sample[0], code, sample[1]


def _spread(count: int) -> Iterator[int]:
    """Yield a few frames, evenly spread, in order."""
    yield from np.unique(np.linspace(0, count - 1, _SAMPLES).astype(int)).tolist()


def red_of(image: np.ndarray, label: str) -> np.ndarray:
    """Return the red channel u8 (H, W) of an instance picture: its tags. Raises ImageError where it has none."""
    if image.ndim != 3 or image.dtype != np.uint8 or image.shape[2] < 3:
        raise ImageError(f"{label}: instances without tags in the red channel; --tags names a folder of tags")
    return np.ascontiguousarray(image[..., 2])
