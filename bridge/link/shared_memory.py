"""Shared-memory ring buffer for planes: the bridge and all receivers on one machine map the same slots.

A slot is an anonymous file (``memfd_create``) that receivers open as ``/proc/PID/fd/N``, so nothing is left behind
however the owner ends. Access is arbitrated by the kernel's advisory file locks, which are released with their holder:
neither a dead nor a stopped process can corrupt or block anything. A receiver holds a shared lock on a slot while any
of its planes is in use; the owner writes only into slots that it can lock exclusively. A slot's first bytes identify
the frame in it, so a receiver that comes too late for a frame finds another frame's number. Slots are sealed against
shrinking, and only their user can open them.
"""

import fcntl
import mmap
import os
import struct
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

RING_SIZE = 8  # slots; beyond this, the oldest frames are overwritten even if not all receivers have taken them
MAX_SLOTS = 64  # slots in use at the same time
_STATE = struct.Struct("<QQ")  # identity of the slot, ticket of its content
#: No process, not even the owner, may shrink a slot: a reader of truncated memory is killed by SIGBUS.
_SEALS = (fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL) if hasattr(fcntl, "F_SEAL_SHRINK") else 0
_ALIGNMENT = 64  # bytes: planes begin at multiples of it
_Natural = Annotated[int, msgspec.Meta(ge=0)]


class _Reference(msgspec.Struct, array_like=True):
    owner: _Natural  # process id
    file: _Natural  # descriptor in that process
    slot: _Natural
    ticket: _Natural
    sequence: _Natural
    places: list[tuple[_Natural, _Natural]]  # begin and size of each plane, bytes


_REFERENCES = msgspec.msgpack.Decoder(_Reference)


class FrameExpired(Exception):
    """A reference is to memory that has been overwritten, or that this process cannot open.

    ``sequence``: of the expired frame, None if this process cannot open the owner's memory at all.
    """

    def __init__(self, sequence: int | None = None) -> None:
        super().__init__("the frame was overwritten" if sequence is not None else "shared memory is not available")
        self.sequence = sequence


def host_id() -> str:
    """Return an id shared by all processes of one machine, user and pid namespace; "" if memory cannot be shared.

    Processes with the same id are assumed to be able to open each other's slots, until an attempt fails.
    """
    if sys.platform != "linux" or not hasattr(os, "memfd_create"):
        return ""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')} {os.geteuid()}"
    except OSError:
        return ""


class _Slot:
    """One slot of the ring, on the owner's side."""

    def __init__(self, size: int) -> None:
        self.identity = int.from_bytes(os.urandom(8), "little")
        self.sequence = -1  # of the frame in it
        self.size = size
        self.file = os.memfd_create("neuralsim-frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.fchmod(self.file, 0o600)  # otherwise any user of this machine could open it by its descriptor
        os.ftruncate(self.file, _ALIGNMENT + size)
        self._map = mmap.mmap(self.file, _ALIGNMENT + size)
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, _SEALS)
        self._bytes = np.frombuffer(self._map, np.uint8)

    def write(self, sequence: int, ticket: int, planes: Sequence[np.ndarray]) -> bytes | None:
        """Fill the slot and return the reference for receivers, or None while a receiver reads it."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        _STATE.pack_into(self._map, 0, self.identity, ticket)
        begin, places = _ALIGNMENT, []
        for plane in planes:
            self._bytes[begin : begin + plane.nbytes] = plane.reshape(-1).view(np.uint8)
            places.append((begin, plane.nbytes))
            begin += _aligned(plane.nbytes)
        fcntl.flock(self.file, fcntl.LOCK_UN)
        self.sequence = sequence
        return msgspec.msgpack.encode(_Reference(os.getpid(), self.file, self.identity, ticket, sequence, places))

    def close(self) -> None:
        """Release the slot; receivers keep their mappings."""
        os.close(self.file)


class ShmRing:
    """The owner's ring buffer of slots; it grows with the number of frames in use."""

    def __init__(self) -> None:
        self._slots: list[_Slot] = []  # oldest frame first
        self._tickets = 0

    def put(self, sequence: int, planes: Sequence[np.ndarray], done: int, keep: bool) -> bytes | None:
        """Copy ``planes`` into a slot and return the reference for receivers, None if there is no room.

        Args:
            sequence: Number of the frame.
            planes: C-contiguous arrays.
            done: All receivers have taken the frames before this number.
            keep: Whether the other frames must not be overwritten.
        """
        size = sum(_aligned(plane.nbytes) for plane in planes)
        for slot in [slot for slot in self._slots if slot.size != size]:
            self._slots.remove(slot)
            slot.close()
        self._tickets += 1
        for slot in self._candidates(done, keep):
            reference = slot.write(sequence, self._tickets, planes)
            if reference is not None:
                self._slots.remove(slot)
                self._slots.append(slot)
                return reference
        if len(self._slots) >= MAX_SLOTS:
            return None
        try:
            slot = _Slot(size)
        except OSError:  # no memory, no more open files
            return None
        self._slots.append(slot)
        return slot.write(sequence, self._tickets, planes)

    def close(self) -> None:
        """Release all slots."""
        for slot in self._slots:
            slot.close()
        self._slots.clear()

    def _candidates(self, done: int, keep: bool) -> list[_Slot]:
        """Return the slots that may be overwritten, those most likely in the CPU's caches first."""
        free = [slot for slot in reversed(self._slots) if slot.sequence < done]
        if keep or len(self._slots) < RING_SIZE:
            return free
        return free + [slot for slot in self._slots if slot.sequence >= done]


class _MappedSlot:
    """A slot mapped by a receiver. Raises ``OSError`` or ``ValueError`` if it cannot be opened."""

    def __init__(self, owner: int, number: int, identity: int) -> None:
        self.file = os.open(f"/proc/{owner}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if fcntl.fcntl(self.file, fcntl.F_GET_SEALS) & _SEALS != _SEALS:  # F_GET_SEALS fails for other kinds of files
            raise ValueError("the owner could shrink this memory")
        self._map = mmap.mmap(self.file, 0, prot=mmap.PROT_READ)
        self.bytes = np.frombuffer(self._map, np.uint8)
        if self.bytes.size < _ALIGNMENT or _STATE.unpack_from(self._map)[0] != identity:
            raise ValueError("a different slot, or none")

    def lock(self, ticket: int) -> bool:
        """Lock the frame with this ticket for reading; False if it has been overwritten."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # being overwritten
            return False
        if _STATE.unpack_from(self._map)[1] == ticket:
            return True
        self.unlock()
        return False

    def unlock(self) -> None:
        """Release the lock."""
        fcntl.flock(self.file, fcntl.LOCK_UN)

    def __del__(self) -> None:
        if hasattr(self, "file"):
            os.close(self.file)


class _ReadLock:
    """The base object of a frame's planes; when it is freed, the owner may write into the slot again."""

    def __init__(self, mapped: _MappedSlot) -> None:
        self._mapped = mapped
        self.__array_interface__ = mapped.bytes.__array_interface__

    def __del__(self) -> None:
        self._mapped.unlock()


class ShmReader:
    """A receiver's mapping of the publisher's slots."""

    def __init__(self) -> None:
        self._mapped: dict[int, _MappedSlot] = {}  # by identity, least recently used first

    def map(self, reference: Any) -> list[memoryview]:
        """Return read-only buffers of the planes that ``reference`` (from ``ShmRing.put``) refers to, without copying.

        The slot is not overwritten while any array over them exists. Raises ``FrameExpired`` if it already was.
        """
        try:
            location = _REFERENCES.decode(reference)
        except (ValueError, RecursionError):
            raise FrameExpired from None
        mapped = self._mapped.pop(location.slot, None)
        if mapped is None:
            try:
                mapped = _MappedSlot(location.owner, location.file, location.slot)
            except (OSError, ValueError):  # released meanwhile, unless no slot could ever be opened
                raise FrameExpired(location.sequence if self._mapped else None) from None
        self._mapped[location.slot] = mapped
        if len(self._mapped) > MAX_SLOTS:
            del self._mapped[next(iter(self._mapped))]
        if any(begin + size > mapped.bytes.size for begin, size in location.places) or not mapped.lock(location.ticket):
            raise FrameExpired(location.sequence)
        memory = np.asarray(_ReadLock(mapped))
        return [memory[begin : begin + size].data for begin, size in location.places]


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
