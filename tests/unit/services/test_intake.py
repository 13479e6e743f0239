from dataclasses import replace

import pytest

from icn.domain.dag.block import parse_block, sign_block
from icn.kernel.errors import PeerViolation
from icn.services.intake import Intake
from icn.services.state import State
from icn.stores import blocks
from support import builders
from support.archives import history


def journal(store):
    return [parse_block(blocks.get_bytes(store, cid)) for _, cid in blocks.journal(store)]


def test_blocks_in_order_lead_to_the_state_they_came_from() -> None:
    node = history(1)["a"]
    taken = journal(node.store)
    intake = Intake(State(), taken[0].cid)
    for block in taken:
        assert not intake.knows(block.cid)
        clock, _ = intake.take(block)
        intake.state.feeds.advance(block, clock)
        assert intake.knows(block.cid)
    assert intake.state.feeds.root() == node.engine.state.feeds.root()
    assert intake.state.ledger.accounts == node.engine.state.ledger.accounts


def test_a_block_out_of_order_or_of_another_federation_is_refused() -> None:
    taken = journal(history(1)["a"].store)
    with pytest.raises(PeerViolation):
        Intake(State(), taken[0].cid).take(taken[1])
    with pytest.raises(PeerViolation, match="federation"):
        Intake(State(), taken[1].cid).take(taken[0])


def test_a_block_that_its_author_did_not_sign_is_refused() -> None:
    taken = journal(history(1)["a"].store)
    changed = bytearray(taken[0].data)
    changed[-1] ^= 1  # of the signature
    forged = parse_block(bytes(changed))
    with pytest.raises(PeerViolation, match="signed"):
        Intake(State(), forged.cid).take(forged)


def test_only_a_genuine_block_beside_a_known_one_proves_a_fork() -> None:
    store = history(1)["a"].store
    genesis = journal(store)[0]
    first = next(block for block in journal(store) if block.header.previous == genesis.cid)
    intake = Intake(State(), genesis.cid, store)
    elsewhere = sign_block(replace(genesis.header, time=genesis.header.time + 1), genesis.records, builders.signer(1))
    assert not intake.proves_fork(elsewhere), "another genesis is another federation"
    twin = sign_block(replace(first.header, time=first.header.time + 1), first.records, builders.signer(1))
    assert intake.proves_fork(twin)
    assert not intake.proves_fork(first)
    changed = bytearray(twin.data)
    changed[-1] ^= 1
    assert not intake.proves_fork(parse_block(bytes(changed)))
    far = sign_block(replace(first.header, sequence=900, previous=first.cid), first.records, builders.signer(1))
    assert not intake.proves_fork(far)
