"""Backups of stores with forks: what is restored is the same state, and no archive can make up what counts."""

from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.archive.ahead import ahead
from icn.adapters.storage.memory import MemoryStore
from icn.domain.federation.events import EquivocationProven, NodeJoined
from icn.kernel.errors import PeerViolation
from icn.services import rows
from icn.services.archive_proving import prove
from icn.services.backup import draft
from icn.services.intake import Intake
from icn.services.verify import verify
from icn.sim import checkers
from icn.stores import blocks
from icn.stores.archive import ArchiveKind
from support import builders
from support.archives import archive_at, back_up, fill_into, nothing, order, proving_here, restore_into
from support.forker import Forker
from support.impostor import Impostor
from support.world import federation


def forked(*, kept: bool) -> Forker:
    """A federation in which a member has forked, with records that lean on what is void."""
    forker = Forker(federation("a", "b", "c", "d"))
    forker.join()
    before = forker.head
    one, other = forker.opens(8, before), forker.opens(9, before)
    forker.say(one, *(("a", "b", "c", "d") if kept else ("a",)))
    forker.world.pass_time(3_000)
    forker.say(other, "b")
    forker.world.pass_time(6_000)
    return forker


@pytest.mark.parametrize("into", [fill_into, restore_into])
@pytest.mark.parametrize("kept", [True, False])
def test_a_store_with_forks_is_restored_as_it_was(tmp_path: Path, kept: bool, into) -> None:
    forker = forked(kept=kept)
    node = forker.world["a"]
    assert forker.did in node.engine.state.cuts
    back_up(node.store, tmp_path / "full.tar.gz")
    target = MemoryStore()
    into(target, tmp_path / "full.tar.gz")
    checkers.same_state("restored", "a", node.engine.state, rows.load(target))
    assert not verify(target, node.did, deep=True).findings
    assert not prove(archive_at(tmp_path / "full.tar.gz"), nothing, ahead, proving_here).findings


@pytest.mark.parametrize("sequence", [2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("into", [fill_into, restore_into])
def test_two_blocks_with_a_number_that_no_feed_comes_to_spoil_no_backup(tmp_path: Path, into, sequence: int) -> None:
    """Where anybody may join anybody can sign them, and an archive names the fork of each author."""
    world = federation("a", "b", "c")
    accuser, accused = (Impostor.stranger(world, number, *world.nodes) for number in (66, 67))
    head = accused.head
    assert head is not None
    place = {"federation": accused.federation, "sequence": sequence, "previous": head.cid}
    signed = (builders.block(accused.number, (), **place, time=world.clock.time + n) for n in (0, 1))
    pair = sorted(signed, key=lambda one: one.cid)
    proof = EquivocationProven(accused.did, sequence, pair[0].cid, pair[1].cid)
    accuser.say(accuser.block(proof, parents=accuser.parents("a")), *world.nodes)
    for block in pair:
        accuser.say(block, *world.nodes)
    world.pass_time(3_000)
    node = world["a"]
    assert accused.did in node.engine.state.cuts
    back_up(node.store, tmp_path / "full.tar.gz")
    target = MemoryStore()
    into(target, tmp_path / "full.tar.gz")
    checkers.same_state("restored", "a", node.engine.state, rows.load(target))
    assert not verify(target, node.did, deep=True).findings


@pytest.mark.parametrize("into", [fill_into, restore_into])
def test_a_chain_whose_later_archive_knows_of_a_fork_is_restored(tmp_path: Path, into) -> None:
    forker = Forker(federation("a", "b", "c", "d"))
    forker.join()
    before = forker.head
    forker.say(forker.opens(8, before), "a")
    forker.world.pass_time(2_000)
    node = forker.world["a"]
    back_up(node.store, tmp_path / "full.tar.gz")
    forker.say(forker.opens(9, before), "b")
    forker.world.pass_time(6_000)
    back_up(node.store, tmp_path / "more.tar.gz", kind=ArchiveKind.INCREMENTAL, created="2026-01-02T00:00:00Z")
    target = MemoryStore()
    into(target, tmp_path / "full.tar.gz", tmp_path / "more.tar.gz")
    checkers.same_state("restored", "a", node.engine.state, rows.load(target))
    assert not verify(target, node.did, deep=True).findings
    assert not prove(archive_at(tmp_path / "more.tar.gz"), nothing, ahead, proving_here).findings


def test_an_archive_cannot_make_up_what_counts() -> None:
    """The claim is held against the blocks: to keep nothing is a lie where a quorum acknowledged something."""
    forker = forked(kept=True)
    store = forker.world["a"].store
    manifest = draft(store, order())
    assert [len(fork.kept) for fork in manifest.forks] == [1]
    for forks in (manifest.forks, (replace(manifest.forks[0], kept=()),)):
        intake = Intake.begin(replace(manifest, forks=forks))
        for _, cid in blocks.journal(store):
            block = blocks.get_block(store, cid)
            assert block is not None
            clock, _ = intake.take(block)
            if intake.is_side(block):
                intake.state.feeds.put_aside(block, is_branch=intake.is_branch(block))
            else:
                intake.state.feeds.advance(block, clock)
        for cid in blocks.evidence(store):
            block = blocks.get_block(store, cid)
            assert block is not None
            assert intake.proves_fork(block)
        if forks == manifest.forks:
            intake.check_choice()
        else:
            with pytest.raises(PeerViolation, match="other blocks of who forked"):
                intake.check_choice()


def test_an_incremental_archive_may_hold_blocks_of_somebody_who_has_no_feed(tmp_path: Path) -> None:
    """It signed its first block twice: both are beside a feed that there is not."""
    forker = Forker(federation("a", "b", "c", "d"))
    world, node = forker.world, forker.world["a"]
    forker.greet("a", "b", "c", "d")
    back_up(node.store, tmp_path / "full.tar.gz")
    one, other = (forker.block(NodeJoined(forker.did, agent)) for agent in ("evil/1", "evil/2"))
    forker.say(one, "a", "c")
    forker.say(other, "b", "d")
    world.pass_time(8_000)
    assert forker.did not in node.engine.state.feeds.heads
    assert forker.did in node.engine.state.feeds.aside
    back_up(node.store, tmp_path / "more.tar.gz", kind=ArchiveKind.INCREMENTAL, created="2026-01-02T00:00:00Z")
    target = MemoryStore()
    fill_into(target, tmp_path / "full.tar.gz", tmp_path / "more.tar.gz")
    checkers.same_state("restored", "a", node.engine.state, rows.load(target))
    assert not prove(archive_at(tmp_path / "more.tar.gz"), nothing, ahead, proving_here).findings
