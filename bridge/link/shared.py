"""Planes without a wire: slots of memory that bridge and receivers of one machine map, filled once for all of them.

A slot is a file without a name (``memfd_create``), opened by receivers as ``/proc/PID/fd/N``: nothing is left behind
however its owner ends. Who may touch it is decided by the kernel's advisory file locks, which end with their holder, so
neither a dead nor a stopped process can spoil or hold up anything: a receiver keeps its slot locked (shared) as long as
one of a frame's planes is in use; the owner writes only into slots that it can lock for itself. A slot's first bytes
say which frame it holds, and a receiver that comes too late for a frame sees another one's number. Slots are sealed
and this user's alone.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import sys
from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np

from bridge.messages import NOT_MSGPACK

PLENTY = 8  # slots; beyond, old frames that nobody took give way
MOST = 64  # slots in use at the same time
_STATE = struct.Struct("<QQ")  # which slot of which owner; the ticket of what is in it
#: Nobody, not even its owner, may make a slot smaller: who reads where memory has gone is killed by the system.
_SEALS = (fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL) if hasattr(fcntl, "F_SEAL_SHRINK") else 0
_LINE = 64  # bytes: planes begin at multiples of it


class Gone(Exception):
    """What a reference points to has been overwritten, or was never to be had.

    ``sequence``: of the frame that was there, None if this process cannot open its owner's memory at all.
    """

    def __init__(self, sequence: int | None = None) -> None:
        super().__init__("this frame's memory holds another one" if sequence is not None else "no shared memory here")
        self.sequence = sequence


def neighbourhood() -> str:
    """Who can open each other's slots: the same in all processes of one machine, user and process namespace; else "".

    Whether it really works is seen when a receiver tries.
    """
    if sys.platform != "linux" or not hasattr(os, "memfd_create"):
        return ""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')} {os.geteuid()}"
    except OSError:
        return ""


class _Slot:
    """One piece of memory of the owner's."""

    def __init__(self, size: int) -> None:
        self.identity = int.from_bytes(os.urandom(8), "little")
        self.sequence = -1  # of the frame in it
        self.size = size
        self.file = os.memfd_create("neuralsim-frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.fchmod(self.file, 0o600)  # else any user of this machine could open it by its descriptor
        os.ftruncate(self.file, _LINE + size)
        self._map = mmap.mmap(self.file, _LINE + size)
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, _SEALS)
        self._bytes = np.frombuffer(self._map, np.uint8)

    def write(self, sequence: int, ticket: int, planes: Sequence[np.ndarray]) -> bytes | None:
        """Fill it; returns what a receiver needs to find it, or None while a receiver looks at it."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        _STATE.pack_into(self._map, 0, self.identity, ticket)
        begin, places = _LINE, []
        for plane in planes:
            self._bytes[begin : begin + plane.nbytes] = plane.reshape(-1).view(np.uint8)
            places.append((begin, plane.nbytes))
            begin += _aligned(plane.nbytes)
        fcntl.flock(self.file, fcntl.LOCK_UN)
        self.sequence = sequence
        return msgpack.packb((os.getpid(), self.file, self.identity, ticket, sequence, places))

    def close(self) -> None:
        """Give it back; receivers keep what they have mapped."""
        os.close(self.file)


class Slots:
    """The owner's slots; as many as there are frames in use."""

    def __init__(self) -> None:
        self._slots: list[_Slot] = []  # the frame of longest ago first
        self._tickets = 0

    def put(self, sequence: int, planes: Sequence[np.ndarray], done: int, keep: bool) -> bytes | None:
        """Copy C-contiguous ``planes`` into a slot; returns the reference for receivers, None if there is no room.

        ``done``: all receivers have taken the frames before this sequence. ``keep``: the others must not be lost.
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
        if len(self._slots) >= MOST:
            return None
        try:
            slot = _Slot(size)
        except OSError:  # no memory, no more open files
            return None
        self._slots.append(slot)
        return slot.write(sequence, self._tickets, planes)

    def close(self) -> None:
        """Give all slots back."""
        for slot in self._slots:
            slot.close()
        self._slots.clear()

    def _candidates(self, done: int, keep: bool) -> list[_Slot]:
        """Those whose frames are no longer wanted, the warmest in the processor's caches first."""
        free = [slot for slot in reversed(self._slots) if slot.sequence < done]
        if keep or len(self._slots) < PLENTY:
            return free
        return free + [slot for slot in self._slots if slot.sequence >= done]


class _Mapped:
    """A slot as a receiver sees it. Raises ``OSError`` or ``ValueError`` if it cannot be had."""

    def __init__(self, owner: int, number: int, identity: int) -> None:
        self.file = os.open(f"/proc/{owner}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if fcntl.fcntl(self.file, fcntl.F_GET_SEALS) & _SEALS != _SEALS:  # an error for what is no such memory
            raise ValueError("memory that its owner could take away")
        self._map = mmap.mmap(self.file, 0, prot=mmap.PROT_READ)
        self.bytes = np.frombuffer(self._map, np.uint8)
        if self.bytes.size < _LINE or _STATE.unpack_from(self._map)[0] != identity:
            raise ValueError("another slot, or none")

    def lock(self, ticket: int) -> bool:
        """Hold on to the frame of this ticket; False if it is there no longer."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # being overwritten
            return False
        if _STATE.unpack_from(self._map)[1] == ticket:
            return True
        self.unlock()
        return False

    def unlock(self) -> None:
        """Let go of it."""
        fcntl.flock(self.file, fcntl.LOCK_UN)

    def __del__(self) -> None:
        if hasattr(self, "file"):
            os.close(self.file)


class _Lease:
    """What the planes of a frame are views of; its end lets the owner write into the slot again."""

    def __init__(self, mapped: _Mapped) -> None:
        self._mapped = mapped
        self.__array_interface__ = mapped.bytes.__array_interface__

    def __del__(self) -> None:
        self._mapped.unlock()


class Windows:
    """A receiver's view of the slots of whoever it is connected to."""

    def __init__(self) -> None:
        self._mapped: dict[int, _Mapped] = {}  # by identity, the one used longest ago first

    def look(self, reference: Any) -> list[memoryview]:
        """Read-only buffers of the planes that ``reference`` (of ``Slots.put``) leads to, without copying.

        The slot stays as it is while any array made of them lives. Raises ``Gone`` if the frame is there no longer.
        """
        owner, number, identity, ticket, sequence, places = _checked(reference)
        mapped = self._mapped.pop(identity, None)
        if mapped is None:
            try:
                mapped = _Mapped(owner, number, identity)
            except (OSError, ValueError):  # given back meanwhile, unless it has never worked
                raise Gone(sequence if self._mapped else None) from None
        self._mapped[identity] = mapped
        if len(self._mapped) > MOST:
            del self._mapped[next(iter(self._mapped))]
        if any(begin + size > mapped.bytes.size for begin, size in places) or not mapped.lock(ticket):
            raise Gone(sequence)
        memory = np.asarray(_Lease(mapped))
        return [memory[begin : begin + size].data for begin, size in places]


def _checked(reference: Any) -> tuple[int, int, int, int, int, list[tuple[int, int]]]:
    """The parts of a reference. Raises ``Gone`` if it is none."""
    try:
        *numbers, places = msgpack.unpackb(reference)
        owner, number, identity, ticket, sequence = numbers
        pairs = [(begin, size) for begin, size in places]
        if all(type(part) is int and part >= 0 for part in (*numbers, *(part for pair in pairs for part in pair))):
            return owner, number, identity, ticket, sequence, pairs
    except NOT_MSGPACK:
        pass
    raise Gone


def _aligned(size: int) -> int:
    return -(-size // _LINE) * _LINE
