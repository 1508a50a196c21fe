"""A stranger in a DDS domain, whose types are made of published definitions and read by cyclonedds' own CDR.

Those of ROS 2's packages are rosbags'; in ``msg`` are carla-simulator/ros-carla-msgs (MIT), astuff/astuff_sensor_msgs
(MIT) and ros-drivers/ackermann_msgs (BSD), as published.
"""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication, BuiltinTopicDcpsSubscription
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import make_idl_struct, types
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

MSG = Path(__file__).resolve().parents[1] / "neuralsim/ros2/msg"
_CONFIG = (
    '<CycloneDDS><Domain><General><Interfaces><NetworkInterface address="127.0.0.1"/></Interfaces>'
    "<AllowMulticast>false</AllowMulticast></General><Discovery><ParticipantIndex>auto</ParticipantIndex>"
    '<Peers><Peer address="localhost"/></Peers></Discovery></Domain></CycloneDDS>'
)  # as rmw_cyclonedds sets it up for ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
_RELIABLE = Policy.Reliability.Reliable(duration(seconds=1))


class RosPeer:
    """A participant of ``domain``."""

    def __init__(self, domain: int) -> None:
        self.store = get_typestore(Stores.ROS2_HUMBLE)
        for file in MSG.glob("*.msg"):
            package, name = file.stem.split(".")
            self.store.register(get_types_from_msg(file.read_text(encoding="utf-8"), f"{package}/msg/{name}"))
        self._domain = Domain(domain, _CONFIG)
        self._participant = DomainParticipant(domain)
        self._types: dict[str, Any] = {}

    def type(self, kind: str) -> Any:
        """Return the class of a message; ``kind``: such as std_msgs/Header."""
        package, _, name = kind.rpartition("/")
        package = package.removesuffix("/msg")
        if (kind := f"{package}/msg/{name}") not in self._types:
            fields = {f"{field}_": self._field(node) for field, node in self.store.fielddefs[kind][1]}
            self._types[kind] = make_idl_struct(f"{name}_", f"{package}.msg.dds_.{name}_", fields)
        return self._types[kind]

    def _field(self, node: Any) -> Any:
        what, of = node
        if what == Nodetype.BASE:
            return {"bool": bool, "string": str, "octet": types.uint8}.get(of[0]) or getattr(types, of[0])
        if what == Nodetype.NAME:
            return self.type(of)
        item = self._field(of[0])
        if what == Nodetype.ARRAY:
            return types.array[item, of[1]]
        return types.sequence[item, of[1]] if of[1] else types.sequence[item]

    def reader(self, topic: str, kind: str, depth: int = 100, is_latched: bool = False) -> DataReader:
        """Return a reliable reader of a ROS topic."""
        durability = Policy.Durability.TransientLocal if is_latched else Policy.Durability.Volatile
        qos = Qos(_RELIABLE, durability, Policy.History.KeepLast(depth))
        return DataReader(self._participant, Topic(self._participant, f"rt{topic}", self.type(kind)), qos=qos)

    def writer(self, topic: str, kind: str) -> DataWriter:
        """Return a reliable writer of a ROS topic that somebody reads."""
        qos = Qos(_RELIABLE, Policy.History.KeepLast(10))
        writer = DataWriter(self._participant, Topic(self._participant, f"rt{topic}", self.type(kind)), qos=qos)
        wait(lambda: writer.get_publication_matched_status().current_count > 0)
        return writer

    def endpoints(self, are_read: bool = False) -> dict[str, Any]:
        """Return the publications by topic, or, if ``are_read``, the subscriptions."""
        of = BuiltinTopicDcpsSubscription if are_read else BuiltinTopicDcpsPublication
        own = {str(self._participant.guid)}
        samples = BuiltinDataReader(self._participant, of).take(1000)
        return {each.topic_name: each for each in samples if str(each.participant_key) not in own}

    def control(self, **values: float) -> Any:
        """Return a CarlaEgoVehicleControl."""
        header = self.type("std_msgs/Header")(self.type("builtin_interfaces/Time")(0, 0), "")
        fields = {"throttle": 0.0, "steer": 0.0, "brake": 0.0} | values
        kind = self.type("carla_msgs/CarlaEgoVehicleControl")
        return kind(header, *fields.values(), False, False, 0, False)


class Inbox:
    """What has arrived at a reader, in order."""

    def __init__(self, reader: DataReader) -> None:
        self._reader, self._held = reader, deque[Any]()

    def next(self) -> Any:
        """Wait for the next message."""
        wait(lambda: bool(self._held or self._take()))
        return self._held.popleft()

    def newest(self) -> Any:
        """Wait for a message, and return the last that is there."""
        self._held.append(self.next())
        self._take()
        last = self._held.pop()
        self._held.clear()
        return last

    def _take(self) -> int:
        self._held.extend(self._reader.take(100))
        return len(self._held)


def wait(is_so: Callable[[], bool], seconds: float = 120.0) -> None:
    """Return once it is so; fail after a while."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.002)


def seconds(header: Any) -> float:
    """Return the time of a header, s."""
    return float(header.stamp_.sec_ + header.stamp_.nanosec_ * 1e-9)
