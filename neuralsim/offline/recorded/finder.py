"""Finds the planes of a recording by itself: a folder, or a tree of towns, cameras and planes."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bridge.untrusted import limits
from neuralsim.imaging.image_files import SUFFIXES, ImageError
from neuralsim.offline.recorded.plane_names import IGNORED, FrameName, meaning_of

VIDEOS = (".mp4", ".avi", ".mkv", ".mov", ".webm")
#: Files that may hold a plane; an EXR is not read, and named with its reason.
_FILES = (*SUFFIXES, ".npy", ".exr")
_POSES = (".csv", ".json", ".jsonl", ".txt")
_POSE_WORDS = ("pose", "transform", "trajectory", "odometry", "index", "ego")
_NUSCENES = {"samples", "sweeps"}  # its key frames, and those between them
_CAMERAS = 8  # most cameras whose files share a folder, told apart by a number in their names


@dataclass
class PlaneFiles:
    """The files of one plane of one camera, in the order of their frames; or one video."""

    kind: str  # one of ``KINDS``, "" if only the content can tell
    files: list[Path]
    names: list[FrameName]  # of ``files``

    @property
    def is_video(self) -> bool:
        """Return whether it is a single video."""
        return len(self.files) == 1 and self.files[0].suffix.lower() in VIDEOS

    @property
    def place(self) -> Path:
        """Return the folder of the files, or the video, for messages."""
        return self.files[0] if self.is_video else self.files[0].parent


@dataclass
class FoundClip:
    """The planes of one camera.

    Attributes:
        key: Path of the clip below the folder, "" for a single one; with "/" between its parts.
        planes: Its planes by kind.
        poses: Files that may hold its poses, the nearest first.
        unnamed: Files whose plane only their content can tell.
        unused: Places of planes that another one is preferred to.
    """

    key: str
    planes: dict[str, PlaneFiles] = field(default_factory=dict)
    poses: list[Path] = field(default_factory=list)
    unnamed: list[PlaneFiles] = field(default_factory=list)
    unused: list[Path] = field(default_factory=list)


def find(place: Path, out: Path | None = None, kind: str = "") -> list[FoundClip]:
    """Return the clips in a folder, or of one video, ordered by key.

    Args:
        place: The folder or video.
        out: A folder below it that is left out.
        kind: What all files are, "" to find out by their names.

    Raises:
        ImageError: It cannot be read, holds no pictures, or too many files.
    """
    if not place.exists():
        raise ImageError(f"{place}: no such file or folder")
    groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
    poses: list[Path] = []
    if place.is_file():
        if place.suffix.lower() not in VIDEOS:
            raise ImageError(f"{place}: neither a folder nor a video ({', '.join(VIDEOS)})")
        groups["", kind or meaning_of(place.stem).kind or "rgb"].append(place)
    for folder, files in _walk(place, out):
        parts = folder.relative_to(place).parts
        meant, key_parts = kind, []
        hints_at_pictures = False
        for part in (each for each in parts if each not in _NUSCENES):
            named = meaning_of(part)
            meant = meant or named.kind
            hints_at_pictures = hints_at_pictures or named.is_picture
            if (rest := named.rest) or not (named.kind or named.is_picture):
                key_parts.append(rest if named.kind or named.is_picture else part)
        for file in files:
            suffix = file.suffix.lower()
            if suffix in _POSES and any(word in file.stem.lower() for word in _POSE_WORDS):
                poses.append(file)
            if suffix not in _FILES and suffix not in VIDEOS:
                continue
            own = meaning_of(file.stem)
            known = meant or own.kind or ("rgb" if hints_at_pictures or suffix in VIDEOS else "")
            keys = [*key_parts, own.rest] if suffix in VIDEOS and own.rest else key_parts
            groups["/".join(keys), known].append(file)
    if not groups:
        raise ImageError(f"{place}: contains no pictures ({', '.join(SUFFIXES)}) and no video")
    return _clips(place, groups, poses)


def _walk(place: Path, out: Path | None) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each folder and its files, sorted. Raises ImageError."""
    left = limits.RECORDING_FILES
    skipped = out.resolve() if out is not None else None

    def complain(error: OSError) -> None:
        raise ImageError(f"{error.filename}: {(error.strerror or 'cannot be read').lower()}") from None

    for root, folders, files in os.walk(place, onerror=complain):
        folder = Path(root)
        deep = len(folder.relative_to(place).parts) >= limits.RECORDING_DEPTH
        folders[:] = sorted(
            name
            for name in folders
            if not deep and name.lower() not in IGNORED and name[0] != "." and (folder / name).resolve() != skipped
        )
        left -= len(files)
        if left < 0:
            raise ImageError(f"{place}: more than {limits.RECORDING_FILES} files; render its folders one by one")
        yield folder, [folder / name for name in sorted(files) if name[0] != "."]


def _clips(place: Path, groups: dict[tuple[str, str], list[Path]], poses: list[Path]) -> list[FoundClip]:
    clips: dict[str, FoundClip] = {}
    for (key, kind), files in sorted(groups.items()):
        for camera, plane in _cameras(kind, files):
            whole = "/".join(part for part in (key, camera) if part)
            clip = clips.setdefault(whole, FoundClip(whole))
            if not kind:
                clip.unnamed.append(plane)
            else:
                clip.planes[kind], others = _preferred(plane)
                clip.unused += others
    for clip in clips.values():
        folders = [plane.place for plane in (*clip.planes.values(), *clip.unnamed)]
        clip.poses = sorted(poses, key=lambda file: (-_shared(file, folders), _rank(file), file))
        clip.poses = [file for file in clip.poses if file.parent in _above(folders, place)] or clip.poses[:1]
    return list(clips.values())


def _preferred(plane: PlaneFiles) -> tuple[PlaneFiles, list[Path]]:
    """Return the files of one folder and suffix, and the places of others: raw ones before palettes, the most first."""
    if plane.is_video:
        return plane, []
    counts = Counter((file.parent, file.suffix.lower() == ".npy") for file in plane.files)
    if len(counts) == 1:
        return plane, []
    first = max(counts, key=lambda place: ("raw" in place[0].name.lower(), place[1], counts[place], str(place[0])))
    if plane.kind == "rgb" and {place[0].parent.name for place in counts} <= _NUSCENES:
        return plane, []
    kept = [
        (file, name)
        for file, name in zip(plane.files, plane.names, strict=True)
        if (file.parent, file.suffix.lower() == ".npy") == first
    ]
    others = sorted({place[0] for place in counts} - {first[0]})
    return PlaneFiles(plane.kind, [file for file, _ in kept], [name for _, name in kept]), others


def _cameras(kind: str, files: list[Path]) -> Iterator[tuple[str, PlaneFiles]]:
    """Yield the name of each camera, "" for a single one, and its files in the order of their frames.

    KITTI-CARLA's cameras share a folder: 0000_0.png, 0000_1.png. A video is a camera of its own.
    """
    names = [FrameName.of(file.stem) for file in files]
    lengths = {len(name.numbers) for name in names}
    if len(lengths) == 1 and (length := lengths.pop()) >= 2:
        last = sorted({name.numbers[-1] for name in names})
        frames = {name.numbers[:-1] for name in names}
        if len(last) <= _CAMERAS and len(frames) * len(last) == len(files) and len(frames) > 1:
            for place, value in enumerate(last):
                chosen = [
                    (file, FrameName(name.scene, name.numbers[: length - 1]))
                    for file, name in zip(files, names, strict=True)
                    if name.numbers[-1] == value
                ]
                yield (f"camera{place}" if len(last) > 1 else ""), _sorted(kind, chosen)
            return
    yield "", _sorted(kind, list(zip(files, names, strict=True)))


def _sorted(kind: str, pairs: list[tuple[Path, FrameName]]) -> PlaneFiles:
    pairs.sort(key=lambda pair: (pair[1], pair[0]))
    return PlaneFiles(kind, [file for file, _ in pairs], [name for _, name in pairs])


def _shared(file: Path, folders: list[Path]) -> int:
    """Return how many folders ``file`` shares with the planes."""
    return max(len(os.path.commonpath([file.parent, folder])) for folder in folders) if folders else 0


def _above(folders: list[Path], place: Path) -> set[Path]:
    """Return all folders from ``place`` down to ``folders``, and folders of poses next to those."""
    above = {parent for folder in folders for parent in (folder, *folder.parents)}
    return {each for each in above if each.is_relative_to(place)} | {
        parent / name for parent in above for name in ("poses", "pose", "transforms", "calib")
    }


def _rank(file: Path) -> int:
    """Return the order in which pose files of one folder are preferred: our own index first."""
    if file.name == "index.jsonl":
        return 0
    return 1 + _POSES.index(file.suffix.lower())
