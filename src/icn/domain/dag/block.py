"""A block: the records of one commit, linked to the author's previous block and to the newest blocks of others, signed.

Encoded as `[body, signature]` in DAG-CBOR (`kernel.sealed`), named by its CIDv1, so any IPFS tool can fetch it, check
its name and follow its links. The records stand in it as maps; what they mean is `domain.records`' business.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from icn.kernel import cbor_items, signing
from icn.kernel.encoding import encode, encode_map, encode_ordered
from icn.kernel.errors import Invalid, require
from icn.kernel.fields import shape_of
from icn.kernel.ids import DAG_CBOR, Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.limits import BLOCK_BYTES_MAX, PARENTS_MAX, RECORDS_PER_BLOCK_MAX
from icn.kernel.making import maker
from icn.kernel.sealed import is_signed_by, open_sealed, seal_encoded
from icn.kernel.signing import Signer

FORMAT_VERSION = 1
BLOCK_OVERHEAD_BYTES_MAX = 1024
"""What a block has beside its records and parents, rounded up."""


@dataclass(frozen=True, slots=True)
class Header:
    """Everything of a block but its records."""

    version: int
    federation: Cid | None
    """The federation's id; none in the genesis block, whose own CID it is."""
    author: Did
    sequence: int
    previous: Cid | None
    parents: tuple[Cid, ...]
    """Heads of other feeds that the author knew, sorted; only those not already behind an earlier block of its own."""
    time: Instant


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block stands: all that a block which names it must know of it."""

    author: Did
    sequence: int
    time: Instant


@dataclass(frozen=True, slots=True)
class Block:
    """A parsed block together with the bytes it came as."""

    header: Header
    record_count: int
    cid: Cid
    data: bytes
    read: tuple[Any, ...] | None = field(compare=False, repr=False)
    """The records as they were read; None of a block that was made here, whose records hardly anybody asks for."""

    @property
    def records(self) -> tuple[Any, ...]:
        """The maps that stand in it, one for each record."""
        return self.read if self.read is not None else tuple(open_sealed(self.data).body["records"])

    @property
    def is_acknowledgement(self) -> bool:
        """Nothing to say but that the parents were seen. Not itself acknowledged."""
        return not self.record_count

    @property
    def place(self) -> Place:
        """Where it stands."""
        header = self.header
        return _place(header.author, header.sequence, header.time)

    def is_genuine(self) -> bool:
        """Whether the signature is the author's, over the bytes as received."""
        return is_signed_by(self.data, self.header.author, signing.BLOCK)


def sign_block(header: Header, records: tuple[Any, ...], signer: Signer) -> Block:
    """The signed block. `header.author` must be the signer's."""
    return sign_encoded(header, [encode(record) for record in records], signer)


def sign_encoded(header: Header, records: Sequence[bytes], signer: Signer) -> Block:
    """`sign_block` for records that are encoded already: their bytes become part of the block's."""
    require(signer.did == header.author, "a block is signed by its author")
    fields = {name: encode_ordered(value) for name, value in _HEADER.to_map(header).items()}
    fields["records"] = cbor_items.list_of(records)
    data = seal_encoded(signer, signing.BLOCK, encode_map(fields))
    require(len(data) <= BLOCK_BYTES_MAX, f"a block has at most {BLOCK_BYTES_MAX} bytes")
    return Block(header, len(records), Cid.of(data, DAG_CBOR), data, None)


def parse_block(data: bytes, cid: Cid | None = None) -> Block:
    """Read a block from anywhere: size, encoding and fields are checked; signature and links are not.

    `cid`: its name, where that was made of `data` already.

    Raises:
        Invalid: too large, not canonical, or not the form of a block.
    """
    if len(data) > BLOCK_BYTES_MAX:
        raise Invalid("block", f"{len(data)} bytes; at most {BLOCK_BYTES_MAX} are accepted")
    body = open_sealed(data).body
    if type(body) is not dict or type(body.get("records")) is not list:
        raise Invalid("block", "no list of records")
    records = tuple(body.pop("records"))
    header = _HEADER.from_map(body)
    if header.version != FORMAT_VERSION:
        raise Invalid("block", f"format version {header.version} is not known to this node")
    if header.sequence < 0 or header.time < 0:
        raise Invalid("block", "negative sequence or time")
    if (header.sequence == 0) != (header.previous is None):
        raise Invalid("block", "the first block of a feed, and only that, has no previous one")
    if len(header.parents) > PARENTS_MAX or len(records) > RECORDS_PER_BLOCK_MAX:
        raise Invalid("block", "too many parents or records")
    if any(a.data >= b.data for a, b in zip(header.parents, header.parents[1:], strict=False)):
        raise Invalid("block", "parents are sorted and distinct")
    return Block(header, len(records), cid or Cid.of(data, DAG_CBOR), data, records)


_HEADER = shape_of(Header)
_place = maker(Place)
