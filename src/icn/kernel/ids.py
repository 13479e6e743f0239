"""Names of things: DIDs, peer ids, CIDs, job ids. Parsed once at the edge, compared cheaply from then on.

A node's Ed25519 key gives both its DID (`did:key:z6Mk…`, W3C did:key method, multicodec 0xed) and its libp2p peer id
(`12D3KooW…`, identity multihash of the protobuf public key), so one turns into the other without asking anybody.

A name is a tuple of one value: nearly all maps of the core have names for keys, and a tuple is hashed, compared and
sorted without a call of Python code. Nothing makes use of its being one.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Self

from icn.kernel import varint
from icn.kernel.base_encodings import base32_decode, base32_encode, base58_decode, base58_encode
from icn.kernel.errors import Invalid

PUBLIC_KEY_BYTES = 32
NAMES_REMEMBERED_MAX = 4096
"""Of each kind, and each way to make one: base58 costs more than nearly all that is done with a name, and a name that
is one object is compared at once."""
_ED25519_PUB = varint.encode(0xED)
_PEER_ID_PREFIX = bytes.fromhex("002408011220")
"""Identity multihash (0x00), 36 bytes, of the protobuf {Type: Ed25519, Data}. Source: the peer-ids spec of libp2p."""


class Did(NamedTuple):
    """A `did:key` of an Ed25519 key. Order is that of the text, the same on every node."""

    text: str

    @staticmethod
    def parse(text: str) -> "Did":
        """Raises `Invalid` for anything but `did:key:z6Mk…` in its one canonical spelling."""
        return did_of(text)

    @staticmethod
    def from_public_key(public_key: bytes) -> "Did":
        """The DID of a raw 32-byte Ed25519 public key."""
        return _did_of_key(public_key)

    @property
    def public_key(self) -> bytes:
        """The raw 32 bytes the name is made of."""
        return _public_key_of(self.text)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def did_of(text: str) -> Did:
    """`Did.parse`, without a call more: what is decoded has many."""
    _public_key_of(text)
    return Did(text)


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def _did_of_key(public_key: bytes) -> Did:
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise Invalid("did", f"an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, not {len(public_key)}")
    return did_of("did:key:z" + base58_encode(_ED25519_PUB + public_key))


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def _public_key_of(text: str) -> bytes:
    prefix = "did:key:z"
    if not text.startswith(prefix):
        raise Invalid("did", f"{text[:80]!r} does not begin with {prefix}")
    data = base58_decode(text[len(prefix) :])
    if data[:2] != _ED25519_PUB or len(data) != 2 + PUBLIC_KEY_BYTES:
        raise Invalid("did", f"{text[:80]!r} is not an Ed25519 key (did:key:z6Mk…)")
    if base58_encode(data) != text[len(prefix) :]:
        raise Invalid("did", f"{text[:80]!r} is not in its canonical spelling")
    return data[2:]


class PeerId(NamedTuple):
    """A libp2p peer id of an Ed25519 key."""

    text: str

    @staticmethod
    def parse(text: str) -> "PeerId":
        """Raises `Invalid` for anything but the base58 form of an Ed25519 key, `12D3KooW…`."""
        data = base58_decode(text)
        if data[: len(_PEER_ID_PREFIX)] != _PEER_ID_PREFIX or len(data) != len(_PEER_ID_PREFIX) + PUBLIC_KEY_BYTES:
            raise Invalid("peer id", f"{text[:80]!r} is not an Ed25519 peer id (12D3KooW…)")
        if base58_encode(data) != text:
            raise Invalid("peer id", f"{text[:80]!r} is not in its canonical spelling")
        return PeerId(text)

    @staticmethod
    def from_multihash(data: bytes) -> "PeerId":
        """From the binary form. Raises `Invalid` for anything but that of an Ed25519 key."""
        if data[: len(_PEER_ID_PREFIX)] != _PEER_ID_PREFIX:
            raise Invalid("peer id", "is not that of an Ed25519 key")
        return _peer_id_of_key(data[len(_PEER_ID_PREFIX) :])

    @staticmethod
    def from_public_key(public_key: bytes) -> "PeerId":
        """The peer id of a raw 32-byte Ed25519 public key."""
        return _peer_id_of_key(public_key)

    @staticmethod
    def of(did: Did) -> "PeerId":
        """The peer id of the node with this DID."""
        return _peer_id_of_did(did)

    @property
    def did(self) -> Did:
        """The DID of the node with this peer id."""
        return _did_of_peer_id(self)

    @property
    def multihash(self) -> bytes:
        """The binary form, as wire messages carry it."""
        return _PEER_ID_PREFIX + self.did.public_key

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def _peer_id_of_key(public_key: bytes) -> PeerId:
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise Invalid("peer id", f"an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, not {len(public_key)}")
    return PeerId(base58_encode(_PEER_ID_PREFIX + public_key))


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def _peer_id_of_did(did: Did) -> PeerId:
    return _peer_id_of_key(did.public_key)


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def _did_of_peer_id(peer: PeerId) -> Did:
    return _did_of_key(base58_decode(peer.text)[len(_PEER_ID_PREFIX) :])


RAW = 0x55
DAG_CBOR = 0x71
DAG_PB = 0x70
"""Files and folders of IPFS (UnixFS): content may have this codec, so that they can be imported and linked to."""
CID_BYTES = 36
CODECS = (RAW, DAG_CBOR, DAG_PB)
_CID_V0_PREFIX = b"\x12\x20"
"""sha2-256, 32 bytes: a CIDv0 is such a multihash and nothing else."""
_CID_V0_BYTES = 34


class Cid(NamedTuple):
    """A CIDv1 with sha2-256 and codec raw, dag-cbor or dag-pb: the names IPFS tools give the same bytes.

    Order is that of the binary form.
    """

    data: bytes

    @classmethod
    def of(cls, content: bytes, codec: int) -> Self:
        """The name of `content`."""
        return cls(bytes((1, codec, 0x12, 0x20)) + hashlib.sha256(content).digest())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `Invalid` unless `data` is a CIDv1, of a codec in `CODECS`, sha2-256 of 32 bytes."""
        if len(data) != CID_BYTES or data[0] != 1 or data[1] not in CODECS or data[2:4] != b"\x12\x20":
            raise Invalid("cid", "only CIDv1 with codec raw, dag-cbor or dag-pb and sha2-256 is accepted")
        return cls(bytes(data))

    @classmethod
    def named_by(cls, link: "Cid | ForeignCid") -> "Cid | None":
        """What a link names, if a block of ours can have that name: a CIDv0 is a dag-pb block, by an older spelling."""
        if isinstance(link, Cid):
            return link
        if link.is_version_0:
            return cls(bytes((1, DAG_PB)) + link.data)
        return None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the base32 text `bafy…` or `bafk…`."""
        if not text.startswith("b") or len(text) > 2 * CID_BYTES:
            raise Invalid("cid", f"{text[:80]!r} is not a base32 CIDv1")
        return cls.from_bytes(base32_decode(text[1:]))

    @property
    def codec(self) -> int:
        """One of `CODECS`."""
        return self.data[1]

    @property
    def digest(self) -> bytes:
        """The sha2-256 of the content."""
        return self.data[4:]

    def names(self, content: bytes | memoryview) -> bool:
        """Whether `content` is what this CID stands for."""
        return hashlib.sha256(content).digest() == self.digest

    def __str__(self) -> str:
        return "b" + base32_encode(self.data)


@dataclass(frozen=True, slots=True, order=True)
class ForeignCid:
    """A well-formed CID of another version, codec or hash: members' content may link to it.

    Only a CIDv0 is ever followed, as what `Cid.named_by` says it names.
    """

    data: bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `Invalid` unless `data` is a CIDv0, or a CIDv1 whose multihash has the length it says."""
        if data[:2] == _CID_V0_PREFIX and len(data) == _CID_V0_BYTES:
            return cls(data)
        position, parts = 0, []
        for _ in range(4):  # version, codec, hash function, digest length
            found = varint.decode(data, position)
            if found is None:
                raise Invalid("cid", "ends too early")
            number, position = found
            parts.append(number)
        if parts[0] != 1 or len(data) - position != parts[3]:
            raise Invalid("cid", "not a CIDv1, or its digest has another length than it says")
        return cls(data)

    @property
    def is_version_0(self) -> bool:
        """Whether this is a CIDv0: no CIDv1 begins with 0x12."""
        return self.data[:2] == _CID_V0_PREFIX

    def __str__(self) -> str:
        return base58_encode(self.data) if self.is_version_0 else "b" + base32_encode(self.data)


JOB_ID_BYTES = 20


class JobId(NamedTuple):
    """Names a job. Bound to its home, so that no other node can open a job of the same name."""

    data: bytes

    @staticmethod
    def of(home: Did, nonce: bytes) -> "JobId":
        """The id that `home` gets for a job it opens with a fresh `nonce` of 16 bytes."""
        return job_id_of(hashlib.sha256(b"icn/job/1" + home.public_key + nonce).digest()[:JOB_ID_BYTES])

    @staticmethod
    def from_bytes(data: bytes) -> "JobId":
        """Raises `Invalid` unless `data` has the length of an id."""
        return job_id_of(data)

    @staticmethod
    def parse(text: str) -> "JobId":
        """From the text `job-…` that people see."""
        if not text.startswith("job-") or len(text) != 4 + 32:
            raise Invalid("job id", f"{text[:80]!r} does not look like job-… with 32 characters behind")
        return job_id_of(base32_decode(text[4:]))

    def __str__(self) -> str:
        return "job-" + base32_encode(self.data)


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def job_id_of(data: bytes) -> JobId:
    """`JobId.from_bytes`, without a call more."""
    if len(data) != JOB_ID_BYTES:
        raise Invalid("job id", f"has {JOB_ID_BYTES} bytes, not {len(data)}")
    return JobId(data)
