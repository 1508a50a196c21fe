"""A DDS participant that ROS 2 takes for one of its own: names of topics and types, QoS and CDR as ``rmw`` has them.

ROS 2's topic ``/a`` of type ``p/T`` is DDS's topic ``rt/a`` of type ``p::msg::dds_::T_``, whose members end with ``_``
(design.ros2.org, "Topic and Service name mapping to DDS"; ``rmw_cyclonedds_cpp``).
"""

from functools import cache
from ipaddress import ip_address
from typing import Any, Generic, TypeVar

from cyclonedds.core import DDSException
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import make_idl_struct, types
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration
from rosbags.interfaces import Nodetype
from rosbags.typesys.store import Typestore

from neuralsim.recording.exporting.ros2_messages import Message
from neuralsim.ros2.options import LOOPBACK

_DEPTH = 10  # messages that a slow reader may be behind, as in CARLA's ROS bridge
_COMMAND_LIMIT = 4096  # bytes of a command; longer ones are thrown away
_SAMPLE_LIMIT = "64 MB"  # of a message of any topic; Cyclone drops larger ones before it has put them together
_TYPE_EXCEPTIONS = {"bool": bool, "string": str, "octet": types.uint8, "byte": types.uint8, "char": types.uint8}
#: Only on the loopback: no multicast, the participants of this machine are asked one by one.
_LOOPBACK_SETTINGS = (
    "<AllowMulticast>false</AllowMulticast></General><Discovery><ParticipantIndex>auto</ParticipantIndex>"
    f'<MaxAutoParticipantIndex>32</MaxAutoParticipantIndex><Peers><Peer address="{LOOPBACK}"/></Peers></Discovery>'
)
_T = TypeVar("_T")


class Subscription(Generic[_T]):
    """Commands that arrive on a topic."""

    def __init__(self, reader: DataReader, store: Typestore, kind: str) -> None:
        self._reader, self._store, self._kind = reader, store, kind

    def newest(self) -> Message | None:
        """Return the newest message since the last call, None if there is no well-formed one."""
        try:
            for sample in reversed(self._reader.take(_DEPTH)):
                if len(sample.cdr) <= _COMMAND_LIMIT:
                    return self._store.deserialize_cdr(sample.cdr, self._kind)
        except Exception:  # whatever strangers send: rosbags and struct have many
            return None
        return None


class Participant:
    """Publishes and subscribes in a DDS domain.

    Args:
        store: Types of messages.
        domain: As ``$ROS_DOMAIN_ID``.
        interface: Name or address of the network interface; on the loopback, nobody else is found.

    Raises:
        ValueError: One line; there is no such interface, or the process has a participant in this domain.
    """

    def __init__(self, store: Typestore, domain: int, interface: str = LOOPBACK) -> None:
        self._store = store
        self._idl = cache(self._idl_of)
        self._writers: dict[str, tuple[DataWriter, str]] = {}
        is_alone = interface in (LOOPBACK, "lo")
        name = f'address="{LOOPBACK}"' if is_alone else f'{_kind_of(interface)}="{interface}"'
        config = (
            f"<CycloneDDS><Domain><General><Interfaces><NetworkInterface {name}/></Interfaces>"
            f"{_LOOPBACK_SETTINGS if is_alone else '</General>'}"
            f"<Internal><MaxSampleSize>{_SAMPLE_LIMIT}</MaxSampleSize>"
            "<Watermarks><WhcHigh>1 GB</WhcHigh></Watermarks></Internal></Domain></CycloneDDS>"
        )  # the last: a reader that has stopped holds up nobody, it misses what is older than `_DEPTH`
        try:
            self._domain = Domain(domain, config)
            self._participant = DomainParticipant(domain, qos=Qos(Policy.Userdata(data=b"enclave=/;")))
        except DDSException as error:
            raise ValueError(f"no DDS domain {domain} on {interface}: {error}") from None

    def advertise(self, topic: str, kind: str, is_latched: bool = False) -> None:
        """Tell others about a topic, once. ``is_latched``: who subscribes later gets the last message, too."""
        if topic not in self._writers:
            durability = Policy.Durability.TransientLocal if is_latched else Policy.Durability.Volatile
            history = Policy.History.KeepLast(1 if is_latched else _DEPTH)
            qos = Qos(durability, history, Policy.WriterDataLifecycle(autodispose=False), *self._common(kind))
            self._writers[topic] = DataWriter(self._participant, self._topic(topic, kind), qos=qos), kind

    def wants(self, topic: str, kind: str) -> bool:
        """Return whether someone subscribes to a topic, which is advertised."""
        self.advertise(topic, kind)
        return bool(self._writers[topic][0].get_publication_matched_status().current_count)

    def publish(self, topic: str, message: Message) -> None:
        """Send a message of an advertised topic."""
        writer, kind = self._writers[topic]
        sample = writer.data_type.__new__(writer.data_type)
        sample.cdr = bytes(self._store.serialize_cdr(message, kind.replace("/", "/msg/")))
        writer.write(sample)

    def subscribe(self, topic: str, kind: str) -> Subscription:
        """Return a subscription."""
        qos = Qos(Policy.Durability.Volatile, Policy.History.KeepLast(_DEPTH), *self._common(kind))
        reader = DataReader(self._participant, self._topic(topic, kind), qos=qos)
        return Subscription(reader, self._store, kind.replace("/", "/msg/"))

    def _common(self, kind: str) -> tuple[Any, ...]:
        hashed = self._store.hash_rihs01(kind.replace("/", "/msg/"))
        return (
            Policy.Reliability.Reliable(duration(milliseconds=100)),
            Policy.DataRepresentation(use_cdrv0_representation=True, use_xcdrv2_representation=False),
            Policy.Userdata(data=f"typehash={hashed};".encode()),
        )

    def _topic(self, topic: str, kind: str) -> Topic:
        idl = self._idl(kind.replace("/", "/msg/"))
        idl.serialize = lambda sample, **_: sample.cdr  # in a tenth of the time that cyclonedds takes
        idl.deserialize = classmethod(_raw)
        return Topic(self._participant, f"rt{topic}", idl)

    def _idl_of(self, kind: str) -> Any:
        """Return the IDL type of a message, which is what other participants are told."""

        def field_type(node: Any) -> Any:
            what, of = node
            if what == Nodetype.BASE:
                return _TYPE_EXCEPTIONS.get(of[0]) or getattr(types, of[0])
            if what == Nodetype.NAME:
                return self._idl(of)
            item, count = field_type(of[0]), of[1]
            if what == Nodetype.ARRAY:
                return types.array[item, count]
            return types.sequence[item, count] if count else types.sequence[item]

        package, _, name = kind.split("/")
        fields = {f"{field}_": field_type(node) for field, node in self._store.fielddefs[kind][1]}
        return make_idl_struct(f"{name}_", f"{package}.msg.dds_.{name}_", fields)


def _raw(idl: Any, data: bytes, **_: Any) -> Any:
    sample = idl.__new__(idl)
    sample.cdr = data
    return sample


def _kind_of(interface: str) -> str:
    """Return what an interface is given by."""
    try:
        ip_address(interface)
    except ValueError:
        return "name"
    return "address"
