"""Copies between sockets without Python's interpreter, for what a lens passes on unchanged.

Each kernel runs until something comes that Python has to look at. Descriptors are duplicates that nobody else closes:
``shutdown`` of the connection ends a kernel.
"""

from collections.abc import Collection

import numpy as np
from numba import njit, types

from neuralsim.base import kernels

_recv = types.ExternalFunction("recv", types.intp(types.int32, types.voidptr, types.uintp, types.int32))
_send = types.ExternalFunction("send", types.intp(types.int32, types.voidptr, types.uintp, types.int32))
_NO_SIGNAL = 0x4000  # MSG_NOSIGNAL of Linux
_LENGTH = 4  # bytes of the length before a stream's message
_MOST_NAME = 40  # bytes


def name_table(names: Collection[str]) -> np.ndarray:
    """Return names as u8 (N, 41): the length, then the text."""
    table = np.zeros((len(names), 1 + _MOST_NAME), np.uint8)
    for row, name in zip(table, names, strict=True):
        row[0] = len(name)
        row[1 : 1 + len(name)] = np.frombuffer(name.encode(), np.uint8)
    return table


@njit(**kernels.EXACT)
def _send_all(sink, buffer, start, end):  # type: ignore[no-untyped-def]
    while start < end:
        count = _send(sink, buffer[start:end].ctypes, end - start, _NO_SIGNAL)
        if count <= 0:
            return False
        start += count
    return True


@njit(**kernels.EXACT)
def _big_endian(buffer, at, count):  # type: ignore[no-untyped-def]
    value = 0
    for k in range(count):
        value = value << 8 | np.int64(buffer[at + k])
    return value


@njit(**kernels.EXACT)
def _head(buffer, at, end):  # type: ignore[no-untyped-def]
    """Return what begins a MessagePack value: its bytes, the bytes after it and the values in it.

    The first is 0 if it goes on beyond ``end``.
    """
    if at >= end:
        return 0, 0, 0
    kind = buffer[at]
    size, digits, items = 0, 0, 0  # bytes that follow, bytes of their number, values in each of a container's items
    values = 0
    if kind < 0x80 or kind >= 0xE0 or 0xC0 <= kind <= 0xC3:
        pass
    elif kind < 0x90:
        values = 2 * np.int64(kind & 0x0F)
    elif kind < 0xA0:
        values = np.int64(kind & 0x0F)
    elif kind < 0xC0:
        size = np.int64(kind & 0x1F)
    elif kind <= 0xC6:  # binary
        digits = 1 << (kind - 0xC4)
    elif kind <= 0xC9:  # extension
        digits = 1 << (kind - 0xC7)
        size = 1
    elif kind <= 0xCB:  # floating point
        size = 4 << (kind - 0xCA)
    elif kind <= 0xCF:
        size = 1 << (kind - 0xCC)
    elif kind <= 0xD3:
        size = 1 << (kind - 0xD0)
    elif kind <= 0xD8:  # fixed extension
        size = 1 + (1 << (kind - 0xD4))
    elif kind <= 0xDB:  # text
        digits = 1 << (kind - 0xD9)
    else:
        digits, items = 2 << ((kind - 0xDC) & 1), 1 if kind <= 0xDD else 2
    if at + 1 + digits > end:
        return 0, 0, 0
    number = _big_endian(buffer, at + 1, digits)
    if items:
        return 1 + digits, size, items * number
    return 1 + digits, size + number, values


@njit(**kernels.EXACT)
def _end_of_value(buffer, at, end):  # type: ignore[no-untyped-def]
    """Return where a MessagePack value ends; -1 if that is beyond ``end``."""
    left = 1  # values to come
    while left:
        head, size, values = _head(buffer, at, end)
        at += head + size
        if not head or at > end:
            return -1
        left += values - 1
    return at


@njit(**kernels.EXACT)
def pass_over(buffer, at, end, state):  # type: ignore[no-untyped-def]
    """Go over a MessagePack value of any size from ``at`` on; what is before came in earlier buffers.

    ``state`` i64 (2,): how many values and bytes are to come: (1, 0) at the beginning, (0, 0) at the end. Returns where
    the value ends, or how far it is complete: bytes that are left belong to what begins a value in it and have to come
    again, with those that follow.
    """
    while True:
        count = min(state[1], end - at)
        at += count
        state[1] -= count
        if state[1] or not state[0]:
            return at
        head, size, values = _head(buffer, at, end)
        if not head:
            return at
        at += head
        state[0] += values - 1
        state[1] = size


@njit(**kernels.EXACT)
def answered(buffer, at, end):  # type: ignore[no-untyped-def]
    """Return the number of the request that the answer at ``at`` is for; -1: more is needed to say, -2: it is none."""
    if at + 2 > end:
        return -1
    if buffer[at] != 0x94 or buffer[at + 1] != 1:
        return -2
    head, size, _ = _head(buffer, at + 2, end)
    if not head or at + 2 + head + size > end:
        return -1
    kind = buffer[at + 2]
    if kind < 0x80:
        return np.int64(kind)
    if 0xCC <= kind <= 0xCF:
        number = _big_endian(buffer, at + 3, size)
        if number >= 0:
            return number
    return -2


@njit(**kernels.EXACT)
def _is_for_python(buffer, at, end, names, is_waiting):  # type: ignore[no-untyped-def]
    """Return whether a request has one of ``names``, or is none; the first name counts only if ``is_waiting``."""
    if end - at < 4 or buffer[at] != 0x94 or buffer[at + 1] != 0:
        return True
    at = _end_of_value(buffer, at + 2, end)  # after the number of the request
    if at < 0 or at >= end:
        return True
    kind, length = buffer[at], 0
    if 0xA0 <= kind <= 0xBF:
        length, at = np.int64(kind & 0x1F), at + 1
    elif kind == 0xD9:
        length, at = np.int64(buffer[at + 1]), at + 2
    else:
        return True
    for k in range(0 if is_waiting else 1, names.shape[0]):
        if names[k, 0] == length:
            same = 0
            while same < length and buffer[at + same] == names[k, 1 + same]:
                same += 1
            if same == length:
                return True
    return False


@njit(**kernels.EXACT)
def pass_requests(source, sink, buffer, names, is_waiting):  # type: ignore[no-untyped-def]
    """Pass requests on until one comes that has one of ``names``, is none, or is incomplete.

    Returns how many bytes are in ``buffer`` u8 (N,), and how many of them were passed on; the first is 0 at the end.
    ``names`` u8 (M, 41): as from ``name_table``; the first one counts only while ``is_waiting`` u8 (1,) is not 0.
    """
    while True:
        count = _recv(source, buffer.ctypes, len(buffer), 0)
        if count <= 0:
            return 0, 0
        passed = 0
        while passed < count:
            end = _end_of_value(buffer, passed, count)
            if end < 0 or _is_for_python(buffer, passed, end, names, is_waiting[0] != 0):
                break
            passed = end
        if passed and not _send_all(sink, buffer, 0, passed):
            return 0, 0
        if passed < count:
            return count, passed


@njit(**kernels.EXACT)
def pass_answers(source, sink, buffer, is_noted, state):  # type: ignore[no-untyped-def]
    """Pass answers of any size on until one begins while ``is_noted`` u8 (1,) is not 0.

    Returns how many bytes are in ``buffer`` u8 (N,), 0 at the end, and how many of them were passed on: up to where an
    answer begins. ``state``: as of ``pass_over``, zeros.
    """
    kept = 0  # bytes at the beginning of ``buffer`` that were passed on and have to be looked at with what follows
    while True:
        count = _recv(source, buffer[kept:].ctypes, len(buffer) - kept, 0)
        if count <= 0:
            return 0, 0
        end, at = kept + count, 0
        while at < end:
            if state[0] == 0 and state[1] == 0:
                if is_noted[0]:
                    if not _send_all(sink, buffer, kept, at):
                        return 0, 0
                    return end, at
                state[0] = 1
            at = pass_over(buffer, at, end, state)
            if state[0] or state[1]:
                break
        if not _send_all(sink, buffer, kept, end):
            return 0, 0
        kept = end - at
        for k in range(kept):
            buffer[k] = buffer[at + k]


@njit(**kernels.EXACT)
def pass_messages(source, sink, buffer, is_hiding):  # type: ignore[no-untyped-def]
    """Pass a stream's messages on until one begins while ``is_hiding`` u8 (1,) is not 0.

    Returns how many bytes of it, and maybe of others, are in ``buffer`` u8 (N,); 0 at the end.
    """
    left = 0  # bytes of the message that the subscriber is getting
    while True:
        most = len(buffer) - 2 * _LENGTH  # there is room for the rest of a length
        size = min(left, most) if left else most
        count = _recv(source, buffer.ctypes, size, 0)
        if count <= 0:
            return 0
        if not left and is_hiding[0]:
            return count
        at = left
        while at < count and count - at < _LENGTH:  # the length of the next message is incomplete
            more = _recv(source, buffer[count:].ctypes, _LENGTH - (count - at), 0)
            if more <= 0:
                return 0
            count += more
        while at + _LENGTH <= count:
            length = 0
            for k in range(_LENGTH):
                length |= np.int64(buffer[at + k]) << 8 * k
            at += _LENGTH + length
            while at < count and count - at < _LENGTH:
                more = _recv(source, buffer[count:].ctypes, _LENGTH - (count - at), 0)
                if more <= 0:
                    return 0
                count += more
        if not _send_all(sink, buffer, 0, count):
            return 0
        left = at - count


def compile_kernels() -> None:
    """Compile the kernels ahead: on descriptors that do not exist, each returns at once."""
    buffer, flag = np.zeros(64, np.uint8), np.zeros(1, np.uint8)
    pass_requests(-1, -1, buffer, name_table(("a",)), flag)
    state = np.zeros(2, np.int64)
    pass_answers(-1, -1, buffer, flag, state)
    pass_over(buffer, 0, 1, state)
    answered(buffer, 0, 1)
    pass_messages(-1, -1, buffer, flag)
