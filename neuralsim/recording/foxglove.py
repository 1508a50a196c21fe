"""Foxglove's message schemas in an MCAP file, and poses in Foxglove's axes.

CARLA's axes are left-handed (x forward, y right, z up), Foxglove's right-handed: y changes its sign on the way in and
on the way out.
"""

from typing import Any

import numpy as np
from foxglove_schemas_protobuf.ArrowPrimitive_pb2 import ArrowPrimitive
from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.Color_pb2 import Color
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.CubePrimitive_pb2 import CubePrimitive
from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
from foxglove_schemas_protobuf.ImageAnnotations_pb2 import ImageAnnotations
from foxglove_schemas_protobuf.KeyValuePair_pb2 import KeyValuePair
from foxglove_schemas_protobuf.LinePrimitive_pb2 import LinePrimitive
from foxglove_schemas_protobuf.Point2_pb2 import Point2
from foxglove_schemas_protobuf.Point3_pb2 import Point3
from foxglove_schemas_protobuf.PointsAnnotation_pb2 import PointsAnnotation
from foxglove_schemas_protobuf.Pose_pb2 import Pose
from foxglove_schemas_protobuf.PoseInFrame_pb2 import PoseInFrame
from foxglove_schemas_protobuf.Quaternion_pb2 import Quaternion
from foxglove_schemas_protobuf.RawImage_pb2 import RawImage
from foxglove_schemas_protobuf.SceneEntity_pb2 import SceneEntity
from foxglove_schemas_protobuf.SceneEntityDeletion_pb2 import SceneEntityDeletion
from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate
from foxglove_schemas_protobuf.TextAnnotation_pb2 import TextAnnotation
from foxglove_schemas_protobuf.Vector3_pb2 import Vector3
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError
from scipy.spatial.transform import Rotation

__all__ = [
    "ArrowPrimitive",
    "CameraCalibration",
    "Color",
    "CompressedImage",
    "CubePrimitive",
    "FrameTransform",
    "ImageAnnotations",
    "KeyValuePair",
    "LinePrimitive",
    "Point2",
    "Point3",
    "PointsAnnotation",
    "Pose",
    "PoseInFrame",
    "Quaternion",
    "RawImage",
    "SceneEntity",
    "SceneEntityDeletion",
    "SceneUpdate",
    "TextAnnotation",
    "Vector3",
    "decompose",
    "decompose_all",
    "descriptors",
    "matrix",
    "parse",
    "right_handed",
]

#: Schema name -> message class of the messages in a recording.
MESSAGES: dict[str, Any] = {
    each.DESCRIPTOR.full_name: each
    for each in (
        CameraCalibration,
        CompressedImage,
        FrameTransform,
        ImageAnnotations,
        PoseInFrame,
        RawImage,
        SceneUpdate,
    )
}


def descriptors(schema: str) -> bytes:
    """Return the ``FileDescriptorSet`` of a message and its parts, as MCAP's ``protobuf`` schema records have it.

    Dependencies come first. Raises KeyError for a schema that recordings do not use.
    """
    files: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for needed in file.dependencies:
            add(needed)
        files[file.name] = file

    add(MESSAGES[schema].DESCRIPTOR.file)
    descriptor_set = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(descriptor_set.file.add())
    return descriptor_set.SerializeToString()


def parse(kind: Any, topic: str, data: bytes) -> Any:
    """Parse a message of class ``kind``. Raises ``ValueError``, one line, for other data."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise ValueError(f"{topic}: not a {kind.DESCRIPTOR.full_name}") from None


def right_handed(pose: np.ndarray) -> np.ndarray:
    """Convert a pose f64 (4, 4) from CARLA's axes to right-handed ones, or back: y changes its sign."""
    flip = np.array([1.0, -1.0, 1.0, 1.0])
    return pose * flip[:, None] * flip[None, :]


def decompose(pose: np.ndarray) -> tuple[Vector3, Quaternion]:
    """Return the translation and rotation of a pose f64 (4, 4)."""
    return decompose_all(pose[None])[0]


def decompose_all(poses: np.ndarray) -> list[tuple[Vector3, Quaternion]]:
    """Return the translations and rotations of poses f64 (N, 4, 4)."""
    return [
        (Vector3(x=place[0], y=place[1], z=place[2]), Quaternion(x=x, y=y, z=z, w=w))
        for place, (x, y, z, w) in zip(
            poses[:, :3, 3].tolist(), Rotation.from_matrix(poses[:, :3, :3]).as_quat().tolist(), strict=True
        )
    ]


def matrix(translation: Vector3, rotation: Quaternion) -> np.ndarray:
    """Return the pose f64 (4, 4) of a translation and a rotation."""
    pose = np.eye(4)
    turn = [rotation.x, rotation.y, rotation.z, rotation.w]
    if any(turn):  # protobuf omits zeros
        pose[:3, :3] = Rotation.from_quat(turn).as_matrix()
    pose[:3, 3] = translation.x, translation.y, translation.z
    return pose
