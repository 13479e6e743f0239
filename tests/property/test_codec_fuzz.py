"""Bytes and messages of any shape: what reads them understands or says `Invalid`; the engine outlives them all."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.domain.dag.block import parse_block
from icn.domain.federation.events import NodeJoined
from icn.domain.ledger.model import Account, Hold
from icn.domain.mesh.model import Assignment, Bid, Execution, Job, Receipt
from icn.domain.mesh.papers import (
    open_assignment,
    open_bid,
    open_receipt,
    seal_assignment,
    seal_bid,
    seal_receipt,
)
from icn.domain.records import EVENT_NAMES, Record, encode_record, read_record, write_record
from icn.kernel.encoding import decode, encode
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.fields import shape_of
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.limits import MESSAGE_BYTES_MAX
from icn.kernel.mana import Mana
from icn.kernel.sealed import open_sealed
from icn.protocol.codec import PROTOCOL_MESSAGE_BYTES_MAX, decode_message, encode_message
from icn.protocol.messages import (
    NUMBERS,
    Announce,
    AssignmentSent,
    BidOffered,
    Blocks,
    Hello,
    Message,
    ReceiptSent,
    protocol_of,
)
from icn.services import rows
from icn.services.inputs import Input, PeerDown, PeerUp, Received, Tick
from icn.stores.blocks import BlockMeta
from icn.stores.replies import StoredReply
from support import builders
from support.shapes import values_of
from support.world import World, federation, terms

PROTOCOLS = list(PROTOCOL_MESSAGE_BYTES_MAX)
MESSAGES: st.SearchStrategy[Message] = st.one_of(*(values_of(cls) for cls in NUMBERS))
EVENTS = st.one_of(*(values_of(cls) for cls in EVENT_NAMES))
ROWS = st.one_of(*(values_of(cls) for cls in (Job, Execution, Account, Hold, rows.HeadRow, BlockMeta, StoredReply)))
EXAMPLE_BLOCK = builders.block(1, [NodeJoined(builders.did(1), "x")], federation=builders.cid("federation")).data
HEADS = [
    *(bytes([major << 5 | 27]) + count.to_bytes(8, "big") for major in range(8) for count in (2**31, 2**62, 2**64 - 1)),
    *(bytes([major << 5 | 26]) + b"\x7f\xff\xff\xff" for major in range(8)),
    *(bytes([major << 5 | 31]) for major in range(8)),
    b"\x81" * 10_000,
    b"\xa1\x61a" * 10_000,
    b"\xc2" * 10_000,
    b"\xd8\x2a" * 10_000,
    b"\xc2\x5a\x00\x01\x00\x00" + b"\xff" * 65_536,
    b"\xd9\xd9\xf7\x80",
    b"\xd8\x1c\x81\xd8\x1d\x00",
    b"\x82\x01\xa1\x80\x80",
    b"\xf9\x7e\x00",
    b"",
]
"""Lengths that nothing stands behind, nesting, tags that other CBOR knows, keys that are no keys."""


def mutated(valid: bytes) -> st.SearchStrategy[bytes]:
    """`valid` with a few bytes changed, cut or put in."""

    def change(edits: list[tuple[int, int, bytes]]) -> bytes:
        data = valid
        for place, cut, put in edits:
            at = place % (len(data) + 1)
            data = data[:at] + put + data[at + cut :]
        return data

    edit = st.tuples(st.integers(0, 100_000), st.integers(0, 9), st.binary(max_size=9) | st.sampled_from(HEADS[:32]))
    return st.lists(edit, min_size=1, max_size=4).map(change)


def any_bytes(valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=200), st.sampled_from(HEADS), valid, valid.flatmap(mutated))


def reads_or_refuses(read: Any, data: Any, refusal: type[Exception] = Invalid) -> Any:
    try:
        return read(data)
    except refusal:
        return None


@given(st.sampled_from(PROTOCOLS), any_bytes(MESSAGES.map(encode_message)))
def test_a_message_is_understood_or_the_peers_fault(protocol: str, data: bytes) -> None:
    message = reads_or_refuses(lambda given: decode_message(protocol, given), data, PeerViolation)
    if message is not None:
        assert protocol_of(message) == protocol
        assert encode_message(message) == data


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("head", HEADS, ids=[head[:10].hex() for head in HEADS])
def test_a_head_that_promises_too_much_is_refused_at_once(protocol: str, head: bytes) -> None:
    for data in (head, b"\x82" + head, b"\x82\x01" + head, b"\x82\x01\xa1\x65agent" + head):
        with pytest.raises(PeerViolation):
            decode_message(protocol, data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_byte_beyond_the_bound_is_not_read(protocol: str) -> None:
    with pytest.raises(PeerViolation, match="too large"):
        decode_message(protocol, bytes(PROTOCOL_MESSAGE_BYTES_MAX[protocol] + 1))
    assert max(PROTOCOL_MESSAGE_BYTES_MAX.values()) <= MESSAGE_BYTES_MAX


@given(any_bytes(st.just(EXAMPLE_BLOCK)))
def test_a_block_is_read_or_refused(data: bytes) -> None:
    block = reads_or_refuses(parse_block, data)
    if block is not None:
        assert block.data == data
        block.is_genuine()
        for record in block.records:
            reads_or_refuses(read_record, record)


@given(any_bytes(st.just(EXAMPLE_BLOCK)))
def test_a_sealed_value_is_opened_or_refused(data: bytes) -> None:
    reads_or_refuses(open_sealed, data)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(st.one_of(PLAIN, EVENTS.map(lambda event: write_record(Record(builders.NODE_ITSELF, event)))), PLAIN)
def test_a_record_is_read_or_refused(written: Any, odd: Any) -> None:
    reads_or_refuses(read_record, written)
    if isinstance(written, dict):
        for name in written:
            reads_or_refuses(read_record, written | {name: odd})


@given(st.one_of(EVENTS, MESSAGES, ROWS))
def test_the_bytes_of_a_shape_are_those_of_its_map(value: Any) -> None:
    shape = shape_of(type(value))
    data = shape.encode(value)
    assert data == encode(shape.to_map(value))
    for read in (shape.decode(data), shape.decode_own(data)):
        assert (type(read), read) == (type(value), value)


@given(EVENTS)
def test_the_bytes_of_a_record_are_those_of_its_map(event: Any) -> None:
    record = Record(builders.NODE_ITSELF, event)
    data = encode_record(record)
    assert data == encode(write_record(record))
    assert read_record(decode(data)) == record


SIGNER = builders.signer(3)
PAPERS = st.one_of(
    values_of(Bid).map(lambda paper: seal_bid(dataclasses.replace(paper, executor=SIGNER.did), SIGNER)),
    values_of(Assignment).map(lambda paper: seal_assignment(dataclasses.replace(paper, home=SIGNER.did), SIGNER)),
    values_of(Receipt).map(lambda paper: seal_receipt(dataclasses.replace(paper, executor=SIGNER.did), SIGNER)),
)


@given(any_bytes(PAPERS))
def test_a_paper_is_read_or_refused(data: bytes) -> None:
    for read in (open_bid, open_assignment, open_receipt):
        reads_or_refuses(read, data)


# The engine

MEMBER, STRANGER = 2, 66
KEYS = {"member": MEMBER, "stranger": STRANGER, "somebody": 67}


@dataclasses.dataclass
class Scene:
    """A home with a job under way at a hostile member, and whoever else knocks."""

    world: World
    sequence: int
    previous: Cid | None

    @classmethod
    def make(cls) -> "Scene":
        world = federation("home", "member", node_terms=terms(window=500))
        world["member"].run = lambda _: None
        world["home"].run = lambda _: None
        for _ in range(3):
            world.submit("home", world.spec(max_price=Mana(50)))
        world.pass_time(700)
        head = world["home"].engine.state.feeds.heads[builders.did(MEMBER)]
        return cls(world, head.sequence + 1, head.cid)

    def jobs(self) -> list[JobId]:
        return sorted(self.world["home"].engine.state.mesh.jobs)

    def block(self, number: int, events: list[Any], ahead: int) -> bytes:
        """A genuine block of a key of ours; the member's continues its feed."""
        home = self.world["home"].engine
        genesis = home.state.federation.federation
        assert genesis is not None
        member = number == MEMBER
        head = home.state.feeds.heads.get(builders.did(number))
        following = head is not None and member
        return builders.block(
            number,
            events,
            federation=genesis.id,
            sequence=head.sequence + 1 if following and head else 0,
            previous=head.cid if following and head else None,
            parents=[home.state.feeds.heads[home.did].cid],
            time=max(self.world.clock.time, home.state.feeds.latest_time()) + ahead,
        ).data


def set_where(value: Any, jobs: list[JobId], names: dict[type, Any], index: int) -> Any:
    """`value` with its job and its names put to those that exist here, so that it gets further."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        current = getattr(value, field.name)
        if isinstance(current, JobId) and jobs:
            changes[field.name] = jobs[index % len(jobs)]
        elif isinstance(current, Did):
            changes[field.name] = names[Did]
        elif field.name == "attempt":
            changes[field.name] = 1
    return dataclasses.replace(value, **changes)


@pytest.mark.slow
@given(st.data())
def test_an_engine_outlives_any_messages_in_any_order(data: st.DataObject) -> None:
    scene = Scene.make()
    world = scene.world
    engine = world["home"].engine
    genesis = engine.state.federation.federation
    assert genesis is not None
    fitting = Hello("x", genesis.id, (), "", executes=True)

    def one() -> Input:
        who = data.draw(st.sampled_from(sorted(KEYS)))
        signer, did = builders.signer(KEYS[who]), builders.did(KEYS[who])
        aimed = data.draw(st.booleans())
        names = {Did: data.draw(st.sampled_from([did, engine.did]))}

        def drawn(cls: type[Any]) -> Any:
            value = data.draw(values_of(cls))
            return set_where(value, scene.jobs(), names, data.draw(st.integers(0, 3))) if aimed else value

        kinds = ["up", "down", "tick", "hello", "message", "bid", "assignment", "receipt", "block"]
        match data.draw(st.sampled_from(kinds)):
            case "up":
                return PeerUp(did)
            case "down":
                return PeerDown(did)
            case "tick":
                world.clock.time += data.draw(st.sampled_from([0, 100, 1000, 20_000]))
                return Tick()
            case "hello":
                return Received(did, fitting)
            case "bid":
                bid = dataclasses.replace(drawn(Bid), executor=did, home=engine.did)
                return Received(did, BidOffered(seal_bid(bid, signer)))
            case "assignment":
                order = dataclasses.replace(drawn(Assignment), home=did, executor=engine.did)
                if aimed:
                    order = dataclasses.replace(order, spec=world.spec(), deadline=world.clock.time + 5000)
                return Received(did, AssignmentSent(data.draw(values_of(Bid)).price, seal_assignment(order, signer)))
            case "receipt":
                receipt = dataclasses.replace(drawn(Receipt), executor=did, home=engine.did)
                return Received(did, ReceiptSent(1, seal_receipt(receipt, signer), b""))
            case "block":
                events = [
                    drawn(data.draw(st.sampled_from(list(EVENT_NAMES)))) for _ in range(data.draw(st.integers(0, 3)))
                ]
                if data.draw(st.booleans()) and KEYS[who] != MEMBER:
                    events.insert(0, NodeJoined(did, "x"))
                block = scene.block(KEYS[who], events, data.draw(st.sampled_from([0, 0, 0, 14_999, 15_001])))
                kind = data.draw(st.sampled_from([Announce, Blocks]))
                message = Announce((block,)) if kind is Announce else Blocks((block,), data.draw(st.booleans()))
                return Received(did, message)
            case _:
                return Received(did, drawn(data.draw(st.sampled_from(list(NUMBERS)))))

    world.handle("home", *[PeerUp(builders.did(key)) for key in KEYS.values()])
    world.handle("home", *[Received(builders.did(key), fitting) for key in KEYS.values()])
    for _ in range(data.draw(st.integers(1, 4))):
        outcome = world.handle("home", *[one() for _ in range(data.draw(st.integers(1, 8)))])
        assert not outcome.replies
        for effect in outcome.effects:
            if hasattr(effect, "message"):
                encode_message(effect.message)
    state, stored = engine.state, rows.load(world["home"].store)
    assert stored.ledger.accounts == state.ledger.accounts
    assert stored.ledger.holds == state.ledger.holds
    assert stored.ledger.transits == state.ledger.transits
    assert stored.ledger.supply == state.ledger.supply
    assert stored.federation.members == state.federation.members
    assert stored.mesh.jobs == state.mesh.jobs
    assert stored.mesh.executions == state.mesh.executions
    assert stored.feeds.root() == state.feeds.root()
    ledger, supply = state.ledger, state.ledger.supply
    assert supply.is_balanced
    assert supply.available == sum(account.balance for account in ledger.accounts.values())
    assert supply.held == sum(hold.amount for hold in ledger.holds.values())
    assert supply.in_transit == sum(transit.amount for transit in ledger.transits.values())
