"""The format of a backup: which files an archive holds, and what each says. The order is that of the archive.

| name | what it holds |
|---|---|
| `blocks/000001.car` … | signed blocks in order of arrival, CAR version 1 |
| `content/000001.jsonl` … | content in order of change: a line each, with pin and lifetime |
| `content/000001.car` … | bytes of the content of that number, where the archive carries them |
| `evidence/000001.car` … | blocks that prove a fork and are in no feed |
| `local/000001.jsonl` … | what the journal does not tell: messages that wait, stored answers |
| `identity/node.key` | the key file, where it was asked for |
| `manifest.json` | what all this is, last: an archive without it is not whole |

Parts of a kind are numbered from 1 without gaps. Blocks may follow content, where a backup was interrupted and gone on
with later: what had come meanwhile. `tar` and `jq` read all of it.
Everything from outside is bounded before it is believed.

Not here: reading a store (services.backup), believing an archive (services.restore), files (adapters.archive).
"""

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from icn.kernel import limits
from icn.kernel.errors import Invalid, Kind, Refusal
from icn.kernel.fields import shape_of
from icn.kernel.ids import Cid, Did
from icn.stores.blocks import ClockEntry

FORMAT_VERSION = 2
"""From 2 on a manifest ends with a checksum of itself: in a folder nothing else has one of it."""
MANIFEST = "manifest.json"
IDENTITY = "identity/node.key"
PART_BYTES = 16 * limits.MIB
"""A part ends with the block that makes it as long as this."""
PART_ITEMS_MAX = 16_384
"""Blocks, or lines, of one part."""
PART_BYTES_MAX = PART_BYTES + limits.CONTENT_BYTES_MAX + limits.MIB
"""A part that is read: one block more, and the names and lengths of all."""
PARTS_MAX = 200_000
"""Entries of one archive: with all of them full, more than three terabytes."""
SUM_BITS_MAX = 128
"""Of all mana: an account holds 53, and there may be many."""
MANIFEST_BYTES_MAX = 64 * limits.MIB
MANIFEST_VALUES_MAX = 2_000_000
"""Commas and opening brackets of a manifest: four per part, with room. Bytes alone do not bound what parsing takes."""
AUTHORS_NAMED_MAX = 200_000
"""Heads, forks or removals of one manifest: whoever may begin feeds, or accuse, decides how many there are."""
IDENTITY_BYTES_MAX = 64 * limits.KIB

_PART_NAME = re.compile(r"(blocks|evidence|content|local)/([0-9]{6,7})\.(car|jsonl)")
_SUFFIXES = {"blocks": ("car",), "evidence": ("car",), "content": ("jsonl", "car"), "local": ("jsonl",)}
_HASH = re.compile(r"[0-9a-f]{64}")


class ArchiveDamaged(Refusal):
    """An archive is not what a backup writes: cut, changed, or made to do harm."""

    code: ClassVar[str] = "archive.damaged"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self, archive: str, why: str) -> None:
        self.archive = archive
        self.why = why
        super().__init__(f"{archive}: {why}")


class ArchiveNewer(Refusal):
    """The archive has a later format than this program reads."""

    code: ClassVar[str] = "archive.newer"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(
            f"the archive has format {version}, this program knows up to {FORMAT_VERSION}: run the newer release"
        )


class ArchiveKind(Enum):
    """What an archive covers."""

    FULL = "full"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a store's two numberings: what comes next there."""

    arrival: int
    """Of signed blocks, in its journal."""
    change: int
    """Of content."""

    def covers(self, other: "Position") -> bool:
        """Whether everything before `other` is before this."""
        return self.arrival >= other.arrival and self.change >= other.change


BEGINNING = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Reached:
    """How far an interrupted backup came: what is next, and how many parts of a kind are there."""

    next: Position
    block_parts: int = 0
    content_parts: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the archive."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FederationName:
    """Which federation the blocks belong to."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class HeadName:
    """The newest block of a feed."""

    author: Did
    sequence: int
    cid: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is. Content that changed while an interrupted backup waited stands there twice."""

    blocks: int
    evidence: int
    content: int
    local: int


@dataclass(frozen=True, slots=True)
class LedgerDigest:
    """What a replay must lead to."""

    minted: int
    burned: int
    accounts: str
    """SHA-256 over keys and values of all account rows."""


@dataclass(frozen=True, slots=True)
class ForkName:
    """An author that forked, and what of it counted when the backup was taken."""

    author: Did
    sequence: int
    """The lowest number that two of its blocks have."""
    kept: tuple[str, ...]
    """The blocks from there on that count nevertheless, in order."""


@dataclass(frozen=True, slots=True)
class RemovalName:
    """A record that removes a member, and counted when the backup was taken."""

    node: Did
    accepted: int
    """How many blocks of its feed that leaves."""
    by: Did
    sequence: int
    """The block that it stands in, by author and number."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive is. `since` and `clock_since` are called `from` and `clock_from` in the file."""

    format: int
    kind: ArchiveKind
    node: Did
    federation: FederationName | None
    program: str
    backend: str
    created: str
    """RFC 3339."""
    store: str
    """The store's id, in hexadecimal."""
    since: Position
    to: Position
    clock_since: tuple[ClockEntry, ...]
    clock_to: tuple[ClockEntry, ...]
    heads: tuple[HeadName, ...]
    root: str
    counts: Counts
    ledger: LedgerDigest
    parent: str | None
    """SHA-256 of the manifest of the backup that an incremental one goes on from, where it was taken since the last."""
    parts: tuple[Part, ...]
    forks: tuple[ForkName, ...] = ()
    """Left out of the file where there are none."""
    removals: tuple[RemovalName, ...] = ()
    """The same."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive, with its bytes."""

    name: str
    data: bytes = field(repr=False)


# Names


def part_name(folder: str, number: int, suffix: str) -> str:
    """`blocks/000001.car`."""
    return f"{folder}/{number:06}.{suffix}"


def size_max(name: str) -> int:
    """How long an entry of that name may be. Raises `Invalid` for a name that no archive has."""
    if name == MANIFEST:
        return MANIFEST_BYTES_MAX
    if name == IDENTITY:
        return IDENTITY_BYTES_MAX
    split_name(name)
    return PART_BYTES_MAX


def split_name(name: str) -> tuple[str, int, str]:
    """Folder, number and suffix. Raises `Invalid` for anything else, `../` and `/` among it."""
    found = _PART_NAME.fullmatch(name)
    if found is None or found[3] not in _SUFFIXES[found[1]] or part_name(found[1], int(found[2]), found[3]) != name:
        raise Invalid("archive", f"an entry {name[:120]!r} is not part of a backup")
    return found[1], int(found[2]), found[3]


class Order:
    """Follows the names of an archive as they come: each once, numbered without gaps, the manifest last."""

    def __init__(self) -> None:
        self._next = dict.fromkeys(_SUFFIXES, 1)
        self._open_content: int | None = None
        self._count = 0
        self._identity = False
        self._ended = False

    def take(self, name: str) -> None:
        """The next name. Raises `Invalid` where it may not stand."""
        self._count += 1
        if self._count > PARTS_MAX:
            raise Invalid("archive", f"more than {PARTS_MAX} entries")
        if self._ended:
            raise Invalid("archive", f"{name!r} stands behind the manifest")
        if name == MANIFEST:
            self._ended = True
        elif name == IDENTITY:
            if self._identity:
                raise Invalid("archive", f"{name} is there twice")
            self._identity = True
        else:
            self._take_part(name, *split_name(name))

    def _take_part(self, name: str, folder: str, number: int, suffix: str) -> None:
        if (folder, suffix) == ("content", "car"):
            if self._open_content != number:
                raise Invalid("archive", f"{name} does not follow its lines")
            self._open_content = None
            return
        if number != self._next[folder]:
            due = part_name(folder, self._next[folder], suffix)
            raise Invalid("archive", f"{name} stands where {due} is due: it is there twice, or others are missing")
        self._next[folder] += 1
        self._open_content = number if folder == "content" else None


# Manifest


def write_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON, to be read by people too; in the form that its format has."""
    fields = shape_of(Manifest).to_map(manifest)
    named = {_JSON_NAMES.get(f.name, f.name): fields[f.name] for f in dataclasses.fields(Manifest)}
    for name in _LEFT_OUT_WHERE_EMPTY:
        if not named[name]:
            del named[name]
    text = json.dumps(named, ensure_ascii=False, indent=1).encode()
    return text + b"\n" if manifest.format < _CHECKED_FROM else with_checksum(text)


def with_checksum(text: bytes) -> bytes:
    """A manifest that says, in its last line, the SHA-256 of all that stands before that line."""
    stated = text.removesuffix(_END)
    return stated + _CHECKSUM % hashlib.sha256(stated).hexdigest().encode() + _END + b"\n"


def read_manifest(data: bytes) -> Manifest:
    """Inverse of `write_manifest`, of bytes from anywhere.

    Raises:
        ArchiveNewer: a later format.
        Invalid: not a manifest.
    """
    if len(data) > MANIFEST_BYTES_MAX:
        raise Invalid("manifest", f"{len(data)} bytes; at most {MANIFEST_BYTES_MAX} are read")
    if sum(map(data.count, (b",", b"[", b"{"))) > MANIFEST_VALUES_MAX:
        raise Invalid("manifest", f"more than {MANIFEST_VALUES_MAX} values")
    fields = _json_object(data, "manifest")
    version = fields.get("format")
    if type(version) is not int or version < 1:
        raise Invalid("manifest", "it names no format")
    if version > FORMAT_VERSION:
        raise ArchiveNewer(version)
    if version >= _CHECKED_FROM:
        checksum = fields.pop("checksum", None)
        stated = data[:-_CHECKSUM_BYTES]
        if checksum != hashlib.sha256(stated).hexdigest() or with_checksum(stated) != data:
            raise Invalid("manifest", "its checksum is not that of its bytes")
    for name, written in _JSON_NAMES.items():
        if name in fields or written not in fields:
            raise Invalid("manifest", f"field {written} is missing")
        fields[name] = fields.pop(written)
    for name in _LEFT_OUT_WHERE_EMPTY:
        fields.setdefault(name, [])
    manifest = shape_of(Manifest).from_map(fields)
    _check_manifest(manifest)
    return manifest


def manifest_hash(data: bytes) -> str:
    """What later backups call this one by."""
    return hashlib.sha256(data).hexdigest()


def _check_manifest(manifest: Manifest) -> None:
    numbers = [manifest.since.arrival, manifest.since.change, manifest.to.arrival, manifest.to.change]
    numbers += [manifest.counts.blocks, manifest.counts.evidence, manifest.counts.content, manifest.counts.local]
    numbers += [part.size for part in manifest.parts]
    sums = [manifest.ledger.minted, manifest.ledger.burned]
    are_sums = min(sums) >= 0 and max(sums) < 2**SUM_BITS_MAX
    if min(numbers) < 0 or max(numbers) >= 2**63 or not are_sums or not manifest.to.covers(manifest.since):
        raise Invalid("manifest", "a number is out of bounds")
    named = max(len(manifest.heads), len(manifest.forks), len(manifest.removals))
    if len(manifest.parts) > PARTS_MAX or named > AUTHORS_NAMED_MAX:
        raise Invalid("manifest", "more parts or heads than an archive has")
    if manifest.counts.blocks != manifest.to.arrival - manifest.since.arrival:
        raise Invalid("manifest", "the count of blocks is not that of their numbers")
    if manifest.kind is ArchiveKind.FULL and (manifest.since != BEGINNING or manifest.parent is not None):
        raise Invalid("manifest", "a full backup begins at the beginning")
    hashes = [manifest.root, manifest.ledger.accounts, *(part.sha256 for part in manifest.parts)]
    hashes += [] if manifest.parent is None else [manifest.parent]
    if not all(_HASH.fullmatch(text) for text in hashes) or not re.fullmatch(r"[0-9a-f]{32}", manifest.store):
        raise Invalid("manifest", "a hash or the store's id is not in its form")
    if manifest.federation is not None:
        Cid.parse(manifest.federation.id)
    for head in manifest.heads:
        Cid.parse(head.cid)
    for fork in manifest.forks:
        for cid in fork.kept:
            Cid.parse(cid)
        if not 0 <= fork.sequence < 2**64:  # as its author signed it, whatever its feed has come to
            raise Invalid("manifest", "a fork is at a number out of bounds")
    for removal in manifest.removals:
        if not (0 <= removal.sequence < 2**63 and 0 <= removal.accepted < 2**63):
            raise Invalid("manifest", "a removal is at a number out of bounds")


_CHECKED_FROM = 2
_END = b"\n}"
_CHECKSUM = b',\n "checksum": "%s"'
_CHECKSUM_BYTES = len(_CHECKSUM % bytes(64)) + len(_END) + 1
_LEFT_OUT_WHERE_EMPTY = ("forks", "removals")
_JSON_NAMES = {"since": "from", "clock_since": "clock_from"}


def _json_object(data: bytes, what: str) -> dict[str, Any]:
    try:
        fields = json.loads(data, parse_float=_no_number, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Invalid(what, "it is not JSON, or says something twice") from error
    if type(fields) is not dict:
        raise Invalid(what, "it is not a JSON object")
    return fields


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice")
    return fields
