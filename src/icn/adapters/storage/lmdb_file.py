"""A look at an LMDB data file before LMDB maps it into our memory, because LMDB trusts what it maps.

LMDB has no checksums. A flipped bit in a value is returned as it is: blocks are named by hashes and signed, and
`dag verify` finds it. A flipped bit in a page's header or pointers is found sometimes (`MDB_CORRUPTED`), or shows other
rows, or fails an assertion of LMDB, which ends the process. A file that is too short ends the process too: the kernel
answers a read behind the end of a mapped file with SIGBUS. Neither can be caught, so what can be ruled out cheaply is
ruled out here: the two meta pages and the length.

A sound file may be shorter than its meta page says: pages at the end that were taken and given back within one
transaction are never written. So a short file is no proof of damage; then the trees are walked, and it is damaged if
something reachable lies behind the end. `extend` makes up the length, so that the walk, some seconds per GiB, is made
only after a crash that came at once after such a commit.

The layout is that of LMDB 0.9 (data version 1) on 64 bits, in the byte order of the machine, from `mdb.c`.
"""

import mmap
import os
import struct
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from icn.stores.kv import StoreCorrupt, StoreNewer

DATA_FILE = "data.mdb"
DATA_VERSION = 1
_MAGIC = 0xBEEFC0DE
_PAGE_HEADER = Struct("=QHHHH")
"""Own number, padding, flags, end of the pointers, start of the nodes."""
_META = Struct("=IIQQ" + "IHHQQQQQ" * 2 + "QQ")
"""Magic, version, address, map size; free and main tree, each: page size or padding, flags, depth, counts of branch,
leaf and overflow pages, entries, root; last page, transaction."""
_NODE = Struct("=HHHH")
"""Low and high half of the value's size or the child's page, flags or its top 16 bits, key size."""
_PAGE_NUMBER = Struct("=Q")
_PAGE_BYTES_MIN, _PAGE_BYTES_MAX = 256, 32768
_BRANCH, _LEAF, _META_PAGE = 0x01, 0x02, 0x08
_NODE_OVERFLOWS = 0x01
_NO_PAGE = 2**64 - 1
_DEPTH_MAX = 32
"""LMDB's own bound (`CURSOR_STACK`)."""


class _Meta(NamedTuple):
    version: int
    page_bytes: int
    roots: tuple[int, int]
    """Of the tree of free pages and of the tree of entries."""
    pages: int
    """Pages of the file as this commit saw it."""
    transaction: int


def check(folder: Path) -> None:
    """Refuse a data file that LMDB must not map. Raises `StoreCorrupt`, `StoreNewer`, `OSError`."""
    path = folder / DATA_FILE
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise StoreCorrupt(f"{path} is missing: restore a backup") from None
    if size == 0:
        raise StoreCorrupt(f"{path} is empty: restore a backup")
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
        newest = _newest_meta(data, path)
        if newest.pages * newest.page_bytes > size:
            try:
                _walk(data, newest)
            except (struct.error, _Damage) as damage:
                raise StoreCorrupt(
                    f"{path} is too short or damaged ({damage}): restore a backup, or let the federation refill an "
                    "empty store"
                ) from damage


def extend(descriptor: int, pages: int, page_bytes: int) -> None:
    """Make up the length of the data file, if it is shorter than `pages`. Raises `OSError`."""
    if os.fstat(descriptor).st_size < pages * page_bytes:
        os.ftruncate(descriptor, pages * page_bytes)


class _Damage(Exception):
    """Something reachable is not there, or not what it must be."""


def _newest_meta(data: mmap.mmap, path: Path) -> _Meta:
    """The meta page of the newest commit, as LMDB would choose it."""
    try:
        first = _meta_at(data, 0)
        if first.version != DATA_VERSION:
            raise StoreNewer(
                f"{path} has LMDB's data version {first.version}; this release reads {DATA_VERSION}: start the "
                "release that wrote it, or restore a backup into an empty store"
            )
        second = _meta_at(data, first.page_bytes)
        if second.version != first.version or second.page_bytes != first.page_bytes:
            raise _Damage("the meta pages disagree")
    except (struct.error, _Damage) as damage:
        raise StoreCorrupt(f"{path} is not an LMDB file, or its first pages are damaged ({damage})") from damage
    return max(first, second, key=lambda meta: meta.transaction)


def _meta_at(data: mmap.mmap, offset: int) -> _Meta:
    _number, _padding, flags, _lower, _upper = _PAGE_HEADER.unpack_from(data, offset)
    fields = _META.unpack_from(data, offset + _PAGE_HEADER.size)
    magic, version, page_bytes, roots = fields[0], fields[1], fields[4], (fields[11], fields[19])
    last_page, transaction = fields[20:]
    if magic != _MAGIC or not flags & _META_PAGE:
        raise _Damage(f"no meta page at byte {offset}")
    if not _PAGE_BYTES_MIN <= page_bytes <= _PAGE_BYTES_MAX or page_bytes & (page_bytes - 1):
        raise _Damage(f"pages of {page_bytes} bytes")
    if any(root != _NO_PAGE and root > last_page for root in roots):
        raise _Damage("a tree begins behind the last page")
    return _Meta(version, page_bytes, roots, last_page + 1, transaction)


def _walk(data: mmap.mmap, meta: _Meta) -> None:
    """Visit all pages of both trees; raises `_Damage` when one lies behind the end of the file."""
    waiting = [(root, 1) for root in meta.roots if root != _NO_PAGE]
    pages_there = len(data) // meta.page_bytes
    visited = 0
    while waiting:
        page, depth = waiting.pop()
        visited += 1
        if page >= pages_there or depth > _DEPTH_MAX or visited > pages_there:
            raise _Damage(f"page {page} is behind the end, or the tree has no end")
        start = page * meta.page_bytes
        number, _padding, flags, lower, _upper = _PAGE_HEADER.unpack_from(data, start)
        kind = flags & (_BRANCH | _LEAF)
        if number != page or kind not in {_BRANCH, _LEAF} or not _PAGE_HEADER.size <= lower <= meta.page_bytes:
            raise _Damage(f"page {page} is no page of a tree")
        nodes = Struct(f"={(lower - _PAGE_HEADER.size) // 2}H").unpack_from(data, start + _PAGE_HEADER.size)
        for node in nodes:
            low, high, node_flags, key_bytes = _NODE.unpack_from(data, start + node)
            if kind == _BRANCH:
                waiting.append((low | high << 16 | node_flags << 32, depth + 1))
            elif node_flags & _NODE_OVERFLOWS:
                (overflow,) = _PAGE_NUMBER.unpack_from(data, start + node + _NODE.size + key_bytes)
                value_pages = (_PAGE_HEADER.size + (low | high << 16) + meta.page_bytes - 1) // meta.page_bytes
                if overflow + value_pages > pages_there:
                    raise _Damage(f"the value at page {overflow} reaches behind the end")
