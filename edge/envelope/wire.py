"""Deterministic CBOR, strictly read: what is not the one encoding of a value is refused (RFC 8949, section 4.2).

Everything here is bounded: a length is compared with its limit before a byte is read or a value is built. The protocol
needs integers, byte strings, text, arrays, maps, nil, and a COSE tag around the whole; nothing else is built at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Protocol

import cbor2

from edge.errors import MalformedEnvelope, TruncatedEnvelope
from edge.protocol import NESTING_MAX, TAG_ENCRYPT, TAG_SIGN1

_MAJOR_BYTES: Final = 2
_MAJOR_ARRAY: Final = 4
_MAJOR_MAP: Final = 5
_MAJOR_TAG: Final = 6
_MAJOR_SIMPLE: Final = 7
_NIL: Final = 22


class Readable(Protocol):
    """A binary source: `read(n)` returns up to n bytes, and b"" only at its end."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        ...


def encode(value: object) -> bytes:
    """Encode `value` as deterministic CBOR.

    cbor2 sorts a map's keys by length first (RFC 8949, 4.2.3). Among keys of one kind, and for every set of labels of
    this protocol, that is the bytewise order of section 4.2.1.

    Raises:
        MalformedEnvelope: it holds what CBOR cannot: text that is not Unicode, a number that is too large.
    """
    try:
        return cbor2.dumps(value, canonical=True)
    except (cbor2.CBOREncodeError, ValueError, TypeError, OverflowError) as error:
        raise MalformedEnvelope("a value cannot be encoded") from error


def decode(data: bytes, *, limit: int) -> Any:
    """Decode exactly one deterministically encoded value of at most `limit` bytes.

    Raises:
        MalformedEnvelope: longer than the limit, nested too deep, not CBOR, followed by other bytes, of a type that
            the protocol does not use, or not the deterministic encoding of what it says (duplicate keys, indefinite
            or overlong lengths).
    """
    if len(data) > limit:
        raise MalformedEnvelope("an item is longer than its limit")
    end = skip(data, 0)
    if end != len(data):
        raise MalformedEnvelope("an item is followed by bytes that belong to none")
    try:
        with BytesIO(data) as stream:
            value = cbor2.CBORDecoder(stream).decode()
    # cbor2 documents CBORDecodeError, but lets errors of the values' own types through (unhashable keys).
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedEnvelope("an item is not valid CBOR") from error
    if encode(value) != data:
        raise MalformedEnvelope("an item is not encoded deterministically")
    return value


def skip(data: bytes, start: int) -> int:
    """Return the offset behind the CBOR item that begins at `start`, without building its value.

    Raises:
        TruncatedEnvelope: the item goes on behind the end of `data`.
        MalformedEnvelope: indefinite length, reserved value, nested deeper than NESTING_MAX, or of a type that the
            protocol does not use.
    """
    return _skip(data, start, NESTING_MAX)


def _skip(data: bytes, start: int, depth: int) -> int:
    if depth < 0:
        raise MalformedEnvelope("an item is nested too deep")
    major, argument, position = head(data, start)
    if major in (_MAJOR_BYTES, _MAJOR_BYTES + 1):
        position += argument
    elif major in (_MAJOR_ARRAY, _MAJOR_MAP):
        count = argument * (2 if major == _MAJOR_MAP else 1)
        if count > len(data) - position:  # each element takes a byte at least
            raise TruncatedEnvelope("an item ends before its length")
        for _ in range(count):
            position = _skip(data, position, depth - 1)
    elif major == _MAJOR_TAG:
        # cbor2 would build dates, sets, regular expressions and references to itself out of other tags.
        if depth < NESTING_MAX or argument not in (TAG_SIGN1, TAG_ENCRYPT):
            raise MalformedEnvelope("an item has a tag that does not belong there")
        position = _skip(data, position, depth - 1)
    elif major == _MAJOR_SIMPLE and (argument != _NIL or position != start + 1):
        # True equals 1 and -19.0 equals -19 in Python: neither may ever stand for a label or an algorithm.
        raise MalformedEnvelope("an item holds a truth value, a float or a reserved value")
    if position > len(data):
        raise TruncatedEnvelope("an item ends before its length")
    return position


def head(data: bytes | bytearray, start: int) -> tuple[int, int, int]:
    """Return (major type, argument, offset behind the head) of the item that begins at `start` (RFC 8949, section 3).

    Raises:
        TruncatedEnvelope: the head goes on behind the end of `data`.
        MalformedEnvelope: an indefinite length, a reserved value, or an argument that is not in its shortest form.
    """
    if start >= len(data):
        raise TruncatedEnvelope("an item is missing")
    major, low = data[start] >> 5, data[start] & 31
    if low < 24:
        return major, low, start + 1
    if low > 27:
        raise MalformedEnvelope("an item has an indefinite length or a reserved value")
    width = 1 << (low - 24)
    end = start + 1 + width
    if end > len(data):
        raise TruncatedEnvelope("an item ends within its head")
    argument = int.from_bytes(data[start + 1 : end], "big")
    # Floats share the encoding of the argument, but not the rule of the shortest form.
    if major != _MAJOR_SIMPLE and argument < (24 if width == 1 else 1 << (4 * width)):
        raise MalformedEnvelope("a length is not in its shortest form")
    return major, argument, end


def bytes_head(length: int) -> bytes:
    """Return the head of a byte string of `length` bytes, in its shortest form."""
    if length < 24:
        return bytes([0x40 | length])
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if length < 1 << (8 * width):
            return bytes([0x40 | code]) + length.to_bytes(width, "big")
    raise MalformedEnvelope("a byte string is too long for CBOR")


@dataclass(frozen=True, slots=True)
class SequenceReader:
    """Read a CBOR sequence from a stream, item by item: small items whole, byte strings as a length and what follows."""

    source: Readable

    def exactly(self, count: int) -> bytes:
        """Return exactly `count` bytes.

        Raises:
            TruncatedEnvelope: the source ends before.
        """
        parts: list[bytes] = []
        while count > 0:
            part = self.source.read(count)
            if not part:
                raise TruncatedEnvelope("the sealed image ends before its length")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def small_item(self, limit: int, *, begun: bytes = b"") -> bytes:
        """Return the exact bytes of the next item, at most `limit`, never reading behind its end.

        `begun` is the item's first byte where a caller has read it already.

        Raises:
            TruncatedEnvelope, MalformedEnvelope: as `skip`; also an item over its limit.
        """
        taken = bytearray(begun)
        pending = [1]  # how many items each open array, map or tag still lacks
        owed, position = 1, 0

        def reach(end: int) -> None:
            if end > limit:
                raise MalformedEnvelope("an item is longer than its limit")
            taken.extend(self.exactly(end - len(taken)))

        while pending:
            reach(position + owed)  # no item is shorter than a byte
            low = taken[position] & 31
            if 24 <= low <= 27:
                reach(position + owed + (1 << (low - 24)))
            major, argument, position = head(taken, position)
            owed -= 1
            pending[-1] -= 1
            if pending[-1] == 0:
                pending.pop()
            if major in (_MAJOR_BYTES, _MAJOR_BYTES + 1):
                position += argument
            elif major in (_MAJOR_ARRAY, _MAJOR_MAP, _MAJOR_TAG):
                count = {_MAJOR_ARRAY: argument, _MAJOR_MAP: 2 * argument, _MAJOR_TAG: 1}[major]
                if count:
                    pending.append(count)
                    owed += count
            if len(pending) > NESTING_MAX + 1:
                raise MalformedEnvelope("an item is nested too deep")
        reach(position)
        return bytes(taken)

    def bytes_length(self, limit: int) -> int:
        """Read the head of a byte string and return its length; its bytes are next in the source.

        Raises:
            MalformedEnvelope: not a byte string, or longer than `limit`.
            TruncatedEnvelope: the source ends within the head.
        """
        raw = self.exactly(1)
        low = raw[0] & 31
        if 24 <= low <= 27:
            raw += self.exactly(1 << (low - 24))
        major, argument, _ = head(raw, 0)
        if major != _MAJOR_BYTES:
            raise MalformedEnvelope("a byte string is missing")
        if argument > limit:
            raise MalformedEnvelope("a byte string is longer than its limit")
        return argument

    def end(self) -> None:
        """Insist that nothing follows.

        Raises:
            MalformedEnvelope: something does.
        """
        if self.source.read(1):
            raise MalformedEnvelope("the sealed image is followed by bytes that belong to none")
