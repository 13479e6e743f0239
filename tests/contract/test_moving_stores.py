"""A store moves from every engine to every other one, and a node goes on there as if nothing had happened."""

import itertools

import pytest

from icn.services import rows
from icn.services.opening import open_engine
from icn.services.verify import verify
from icn.stores import copying, moving
from icn.stores.kv import Batch
from icn.stores.moving import StoreIncomplete
from icn.stores.schema import store_id
from support.http_node import CountingEntropy, SettableClock, signer_of, terms
from support.sample_stores import busy_node, pairs_of, pour
from support.stores import BACKENDS, Backend

PAIRS = [(a, b) for a, b in itertools.permutations(BACKENDS, 2)]


@pytest.fixture(scope="module")
def node():
    return busy_node()


def engine_over(store, node):
    return open_engine(
        store=store,
        clock=SettableClock(node.clock.moment),
        entropy=CountingEntropy(),
        signer=signer_of(1),
        terms=terms(),
    )


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS])
def test_every_engine_s_store_moves_to_every_other_engine(one: Backend, other: Backend, node, tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    source, target = one.open(tmp_path / "from"), other.open(tmp_path / "to")
    try:
        pour(node.store, source)
        target.commit(copying.begin(target, store_id(source) or b""), target.claim())
        with pytest.raises(StoreIncomplete):
            engine_over(target, node)
        fence = target.claim()
        for step in copying.steps(source, target):
            target.commit(step.batch, fence)
        assert list(copying.contents(source)) == list(copying.contents(target))
        last = Batch()
        moving.finish(last)
        target.commit(last, fence)
        if other.durable:
            target.close()
            target = other.open(tmp_path / "to")
        assert pairs_of(target) == pairs_of(node.store)
        engine = engine_over(target, node)
        assert engine.state.ledger.supply == node.engine.state.ledger.supply
        assert rows.load(target).ledger.supply.is_balanced
        assert verify(target, node.did, deep=True).ok
    finally:
        source.close()
        target.close()
