"""Records in a file: which are whole, where a torn one begins, and what must be damage.

A record is 12 bytes of header (length, CRC-32 of the payload, CRC-32 of those eight bytes; big-endian) and the payload,
filled up to a multiple of 8. It is only written once the one before it is on the disk. So what a power loss can leave
is: whole records, and one more whose end is missing, or of which some sectors of 512 bytes were never written and read
as zeros. Anything else is damage; above all a last record that is all there and wrong: what it promised may have been
given, so it must not be cut off as if it had never been. To tell the two apart, the bytes of a payload are stored
exclusive-or 0xA5: long rows of zeros are common in data, rows of 0xA5 are not.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

HEADER = 12
ALIGN = 8
SECTOR = 512
LONGEST = 256 << 20  # bytes of a payload
_MASK = bytes(byte ^ 0xA5 for byte in range(256))
_FILL = b"\xa5" * ALIGN


@dataclass(frozen=True)
class Records:
    """What a file holds: `payloads` of its whole records, which end at `size`; then `torn` bytes of one that is not.

    `damage`, if any, says what is wrong at `size`, where no torn record is.
    """

    payloads: tuple[bytes, ...]
    size: int
    torn: int = 0
    damage: str = ""


def frame(payload: bytes) -> bytes:
    """One record."""
    stored = payload.translate(_MASK)
    head = len(stored).to_bytes(4, "big") + _checksum(stored)
    record = head + _checksum(head) + stored
    return record + _FILL[: -len(record) % ALIGN]


def unframe(data: bytes) -> Records:
    """The records in these bytes."""
    payloads: list[bytes] = []
    at = 0
    while at < len(data):
        left = len(data) - at
        head = data[at : at + HEADER]
        length = int.from_bytes(head[:4], "big")
        end = at + HEADER + length
        end += -end % ALIGN
        if left < HEADER:
            return Records(tuple(payloads), at, torn=left)
        if _checksum(head[:8]) != head[8:] or length > LONGEST:
            return _broken(payloads, data, at, at + HEADER, "header")
        if end > len(data):
            return Records(tuple(payloads), at, torn=left)
        stored = data[at + HEADER : at + HEADER + length]
        fill = data[at + HEADER + length : end]
        if _checksum(stored) != head[4:8] or fill != _FILL[: len(fill)]:
            return _broken(payloads, data, at, end, "content")
        payloads.append(stored.translate(_MASK))
        at = end
    return Records(tuple(payloads), at)


def _broken(payloads: list[bytes], data: bytes, begin: int, end: int, what: str) -> Records:
    """What is wrong lies in `begin`..`end`: torn, if a sector of it was never written and nothing comes after."""
    last = what == "header" or end == len(data)
    if last and _has_unwritten_sector(data, begin, end):
        return Records(tuple(payloads), begin, torn=len(data) - begin)
    where = f"record {len(payloads) + 1}, at byte {begin} of {len(data)}"
    return Records(tuple(payloads), begin, damage=f"the {what} of {where} does not fit its checksum")


def _has_unwritten_sector(data: bytes, begin: int, end: int) -> bool:
    at = begin
    while at < end:
        edge = min((at // SECTOR + 1) * SECTOR, len(data))
        if not any(data[at:edge]):
            return True
        at = edge
    return False


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")
