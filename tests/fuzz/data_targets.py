"""The decoders of what nodes send each other and keep: messages, blocks, records, papers, CARs, names."""

import io
from pathlib import Path

from fuzz.target import REFUSALS, Target
from icn.domain.dag.block import parse_block
from icn.domain.federation import invitation
from icn.domain.mesh import papers
from icn.domain.records import read_record, write_record
from icn.kernel import dag_pb, varint
from icn.kernel.encoding import decode, encode
from icn.kernel.ids import DAG_CBOR, RAW, Cid, Did, JobId, PeerId
from icn.kernel.sealed import open_sealed
from icn.protocol.codec import PROTOCOL_MESSAGE_BYTES_MAX, decode_message, encode_message
from icn.protocol.messages import NUMBERS, protocol_of
from icn.stores import archive_parts, car
from support import builders

GOLDEN = Path(__file__).resolve().parents[1] / "wire" / "golden"
PROTOCOLS = list(PROTOCOL_MESSAGE_BYTES_MAX)
OPENERS = {"bid": papers.open_bid, "assignment": papers.open_assignment, "receipt": papers.open_receipt}


def golden(kind: str) -> dict[str, bytes]:
    """The golden files of one kind, by the rest of their names."""
    files = sorted(GOLDEN.glob(f"{kind}.*.hex"))
    return {path.stem.removeprefix(f"{kind}."): bytes.fromhex(path.read_text()) for path in files}


def read_dag_cbor(data: bytes) -> None:
    """One value has one encoding."""
    assert encode(decode(data)) == data


def dag_cbor_seeds() -> list[bytes]:
    values = [{"a": [1, -1, 2**64 - 1, None, True], "bb": b"\0\1", "link": builders.cid("x")}, "text", [[[[]]]]]
    return [encode(value) for value in values] + list(golden("event").values())[:8]


def read_message(data: bytes) -> None:
    """First byte: on which protocol. What was understood is written as it came."""
    if not data:
        return
    protocol = PROTOCOLS[data[0] % len(PROTOCOLS)]
    message = decode_message(protocol, data[1:])
    assert protocol_of(message) == protocol
    assert encode_message(message) == data[1:]


def message_seeds() -> list[bytes]:
    kinds = {f"{number}.{kind.__name__}": kind for kind, number in NUMBERS.items()}
    seeds = []
    for name, data in golden("message").items():
        message = next(protocol for protocol in PROTOCOLS if _is_of(protocol, data)) if name in kinds else PROTOCOLS[0]
        seeds.append(bytes([PROTOCOLS.index(message)]) + data)
    return seeds


def _is_of(protocol: str, data: bytes) -> bool:
    try:
        decode_message(protocol, data)
    except REFUSALS:
        return False
    return True


def read_block(data: bytes) -> None:
    """A block is named by exactly the bytes that came, and its records are read or refused."""
    block = parse_block(data)
    assert block.cid == Cid.of(data, DAG_CBOR)
    block.is_genuine()
    for record in block.records:
        read_record(record)


def read_event(data: bytes) -> None:
    record = read_record(decode(data))
    assert encode(write_record(record)) == data


def read_sealed(data: bytes) -> None:
    """Signed values, and the papers that are such values."""
    for opened in OPENERS.values():
        try:
            opened(data)
        except REFUSALS:
            continue
    sealed = open_sealed(data)
    sealed.is_signed_by(builders.did(1), b"tag")


def read_invitation(data: bytes) -> None:
    """A line as somebody pasted it: what is taken is written in one way."""
    text = data.decode("utf-8", "replace")
    sealed = invitation.read_line(text)
    assert invitation.line_of(sealed) == "".join(text.split())
    assert invitation.open_invitation(sealed).addresses


def invitation_seeds() -> list[bytes]:
    line = invitation.line_of(golden("paper")["invitation"])
    return [line.encode(), f" {line[:40]}\n  {line[40:]}\n".encode()]


def read_car(data: bytes) -> None:
    """As strangers' CARs are read, and as parts of an archive are."""
    try:
        for _ in archive_parts.read_car(data):
            pass
    except REFUSALS:
        pass
    source = io.BytesIO(data)
    for cid, content in car.CarReader(source.read).blocks():
        assert cid.names(content)


def car_seeds() -> list[bytes]:
    blocks = [(Cid.of(content, RAW), content) for content in (b"one", b"two" * 50, b"")]
    version_1 = archive_parts.write_car(blocks)
    pragma = encode({"version": 2})
    head = bytes(16) + (51).to_bytes(8, "little") + len(version_1).to_bytes(8, "little") + bytes(8)
    return [version_1, car.encode_header([]), varint.encode(len(pragma)) + pragma + head + version_1]


def read_dag_pb(data: bytes) -> None:
    dag_pb.links(data)


def dag_pb_seeds() -> list[bytes]:
    link = b"\x0a\x24" + builders.cid("x").data + b"\x12\x04name\x18\x07"
    return [b"\x12" + bytes([len(link)]) + link + b"\x0a\x04data", b"\x0a\x00"]


def read_name(data: bytes) -> None:
    """DIDs, peer ids, CIDs and job ids: a name has one spelling."""
    text = data.decode("utf-8", "replace")
    for kind in (Did, PeerId, Cid, JobId):
        try:
            assert str(kind.parse(text)) == text
        except REFUSALS:
            continue
    for kind in (Cid, JobId):
        try:
            assert kind.from_bytes(data).data == data
        except REFUSALS:
            continue


def name_seeds() -> list[bytes]:
    did = builders.did(1)
    names = [did, PeerId.of(did), builders.cid("x"), builders.job_id(did)]
    return [*(str(name).encode() for name in names), builders.cid("x").data, builders.job_id(did).data]


TARGETS = [
    Target("dag-cbor", read_dag_cbor, dag_cbor_seeds),
    Target("messages", read_message, message_seeds),
    Target("blocks", read_block, lambda: list(golden("block").values())),
    Target("records", read_event, lambda: list(golden("event").values())),
    Target("sealed", read_sealed, lambda: list(golden("paper").values())),
    Target("invitation", read_invitation, invitation_seeds),
    Target("car", read_car, car_seeds),
    Target("dag-pb", read_dag_pb, dag_pb_seeds),
    Target("names", read_name, name_seeds, bytes_max=200),
]
