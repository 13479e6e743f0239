"""Signed blocks from a file are taken as if a peer had sent them, each accepted or refused for itself."""

from icn.domain.ledger.events import AccountOpened
from icn.kernel.encoding import decode, encode
from icn.kernel.ids import DAG_CBOR, RAW, Cid
from icn.kernel.mana import Mana
from icn.services.answers import Refused
from icn.services.commands import ImportBlocks, ImportContent, NoteScan, PinContent, PruneContent
from icn.services.verify import verify
from icn.stores import blocks
from support import builders
from support.world import World, federation


def journal(world: World, name: str) -> list[bytes]:
    return [blocks.get_bytes(world[name].store, cid) or b"" for _, cid in blocks.journal(world[name].store)]


def apart() -> World:
    """Two members, of which one went on alone."""
    world = federation("a", "b")
    world.isolate("b")
    world.settle()
    for _ in range(3):
        world.submit("a")
        world.pass_time(2_000)
    return world


def take(world: World, name: str, encoded: list[bytes]) -> list[str]:
    results = world.done(name, ImportBlocks(tuple(encoded)))["results"]
    assert isinstance(results, list)
    return results


def test_blocks_of_the_federation_come_in_with_what_they_say() -> None:
    world = apart()
    before = len(journal(world, "b"))
    results = take(world, "b", journal(world, "a"))
    assert results.count("new") == len(results) - before
    assert set(results) == {"new", "known"}
    assert world["b"].engine.state.ledger.supply.is_balanced
    assert world["b"].engine.state.feeds.heads[world["a"].did] == world["a"].engine.state.feeds.heads[world["a"].did]
    assert set(take(world, "b", journal(world, "a"))) == {"known"}


def test_what_lacks_its_ancestor_is_refused_and_does_not_wait() -> None:
    world = apart()
    *_, last = journal(world, "a")
    (result,) = take(world, "b", [last])
    assert "ancestor" in result
    assert not world["b"].engine.replication.arrivals.quarantine.waiting


def test_a_forged_block_is_refused_and_what_is_genuine_is_taken() -> None:
    world = apart()
    encoded = journal(world, "a")
    value = decode(encoded[-1])
    value[1] = bytes(64)
    forged = encode(value)
    results = take(world, "b", [*encoded[:-1], forged, encoded[-1]])
    assert results[-1] == "new"
    assert "signed by its author" in results[-2]
    assert take(world, "b", [b"\xa0"])[0] not in {"new", "known"}


def test_a_block_against_the_rules_is_refused_and_what_came_before_it_is_in() -> None:
    world = apart()
    encoded = journal(world, "a")
    feeds = world["a"].engine.state.feeds
    head = feeds.heads[world["a"].did]
    again = AccountOpened(world["a"].did, world["a"].did, 0, Mana(0), 0, Mana(0))
    federation_id = world["a"].engine.state.federation.federation
    assert federation_id is not None
    bad = builders.block(
        world["a"].number,
        [again],
        federation=federation_id.id,
        sequence=head.sequence + 1,
        previous=head.cid,
        time=world.clock.time,
    )
    results = take(world, "b", [*encoded, bad.data])
    assert "against the rules" in results[-1] or "refused before" in results[-1]
    assert set(results[:-1]) == {"new", "known"}
    assert world["b"].engine.state.feeds.heads[world["a"].did] == head
    assert world["b"].engine.state.ledger.supply.is_balanced
    assert not verify(world["b"].store, world["b"].did, deep=True).findings


def test_content_of_a_file_is_stored_or_refused_piece_by_piece() -> None:
    world = federation("a")
    loose = Cid.of(b"\x18\x01", DAG_CBOR)
    good = Cid.of(b"bread", RAW)
    command = ImportContent(((good, b"bread"), (loose, b"\x18\x01"), (good, b"bread")), pinned=False)
    results = world.done("a", command)["results"]
    assert isinstance(results, list)
    assert (results[0], results[2]) == ("new", "known")
    assert "canonical" in results[1]


def test_only_the_operator_decides_what_the_node_keeps() -> None:
    world = federation("a")
    for command in (
        PinContent(Cid.of(b"", RAW), pinned=True),
        PruneContent(dry_run=True),
        ImportContent((), pinned=False),
        NoteScan(b"", ()),
        ImportBlocks(()),
    ):
        answer = world.do("a", command, principal=builders.did(9))
        assert isinstance(answer, Refused)
        assert answer.code == "access.operator_only"
