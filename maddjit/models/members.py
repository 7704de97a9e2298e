"""Arrays in an archive: checked, read or left in their file, and never to be changed."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.models.records import MappedFile, let_go

_HEADERS: dict[tuple[int, int], Callable[[Any], Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""Readers of the header of an array, by the version of its format."""
_MOST_HEADER_BYTES = 16 * 1024
"""The header of an array is shorter."""
_LEAST_MAPPED = 64 * 1024
"""Bytes of an array from which on it may stay in its file."""


class Archive(zipfile.ZipFile):
    """An archive, and its file as memory if arrays may stay there."""

    mapped: MappedFile | None = None


def array_in(archive: Archive, name: str) -> NDArray[Any]:
    """Return a member of the archive, whose checksum is compared; the array is read-only."""
    member = archive.getinfo(f"{name}.npy")
    data: bytes | MappedFile = b""
    start = 0
    if archive.mapped is not None and member.file_size >= _LEAST_MAPPED:
        data, start = archive.mapped, _start(archive.mapped, member)
    else:
        data = archive.read(member)
    file = BytesIO(data[start : start + _MOST_HEADER_BYTES])
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} has version {version} of the format of arrays")
    shape, is_fortran, dtype = _HEADERS[version](file)
    begun, size = file.tell(), math.prod(shape)
    # An array whose elements take no bytes could have more elements than can ever be read.
    is_plain = dtype.itemsize > 0 and dtype.kind in "biufU" and min(shape, default=0) >= 0
    if not is_plain or member.file_size != begun + size * dtype.itemsize:
        raise ValueError(f"{name} is no array of numbers or text, or not all of its member")
    if not size:
        return np.empty(shape, dtype)
    if start and dtype.itemsize > 1:  # it may lie at an odd place of the file
        data, start = archive.read(member), 0
    array = np.frombuffer(data, dtype, size, start + begun)
    return array.reshape(shape, order="F" if is_fortran else "C")


def _start(mapped: MappedFile, member: zipfile.ZipInfo) -> int:
    """Return where a member that is not compressed begins in its file; its checksum is compared."""
    header = member.header_offset
    sizes = mapped[header + 26 : header + 30]
    start = header + 30 + sum(int.from_bytes(sizes[i : i + 2], "little") for i in (0, 2))
    end, found = start + member.file_size, 0
    for begun in range(start, end, _LEAST_MAPPED):
        found = zlib.crc32(mapped[begun : min(end, begun + _LEAST_MAPPED)], found)
    if found != member.CRC or end > len(mapped):
        raise ValueError(f"{member.filename} is damaged")
    let_go()
    return start
