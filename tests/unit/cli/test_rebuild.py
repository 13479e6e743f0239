"""A store whose rows do not follow from its blocks is mended by one command, on every engine, or left as it is."""

import json

import pytest

from icn.adapters.storage.opening import open_store
from icn.cli.endings import Exit
from icn.services import rebuilding
from icn.services.verify import verify
from icn.stores import blocks, keyspace
from support.full_history import history
from support.sample_stores import pairs_of
from support.stores import BACKENDS, batch, fill, settings_in

DURABLE = [
    pytest.param(backend, marks=pytest.mark.slow if backend.shared else ()) for backend in BACKENDS if backend.durable
]


def told(ran):
    return json.loads(ran.out)


@pytest.fixture(scope="module")
def whole():
    return pairs_of(history()["a"].store)


class Stored:
    """A store in a folder, and how a command is told of it."""

    def __init__(self, backend, folder, pairs):
        self._settings = settings_in(backend, folder)
        place = ("--db-url", self._settings.url) if backend.shared else ("--storage-path", self._settings.path)
        self.words = ("--storage-backend", backend.name, *place)
        self.use(lambda store: fill(store, pairs))

    def use(self, use):
        store = open_store(self._settings)
        try:
            return use(store)
        finally:
            store.close()

    def put(self, operations):
        self.use(lambda store: store.commit(batch(operations), store.claim()))

    def pairs(self):
        return self.use(pairs_of)


@pytest.fixture
def stored(tmp_path, whole):
    return Stored(next(one for one in BACKENDS if one.name == "sqlite"), tmp_path, whole)


def first(pairs, prefix):
    return next(key for key in pairs if key.startswith(prefix))


def damage(pairs):
    """A balance that is another one, a feed that lacks a block, an index that has one too many."""
    account = first(pairs, keyspace.projection("account"))
    return {
        account: pairs[first(dict(reversed(pairs.items())), keyspace.projection("account"))],
        first(pairs, keyspace.FEED): None,
        keyspace.event_type("ledger.opened") + keyspace.u64(0): b"",
        first(pairs, keyspace.CONTENT_CHANGE): None,
    }


@pytest.mark.parametrize("backend", DURABLE, ids=str)
def test_rows_that_do_not_follow_from_the_blocks_are_made_again(alone, tmp_path, whole, backend):
    stored = Stored(backend, tmp_path, whole)
    stored.put(damage(whole))
    damaged = stored.pairs()
    found = alone("dag", "verify", "--deep", "--offline", *stored.words)
    assert (found.status, "icn-cli storage rebuild" in found.err) == (Exit.NOT_FOUND_OR_UNVERIFIED, True)
    tried = alone("--output", "json", "storage", "rebuild", "--dry-run", *stored.words)
    assert tried.status is Exit.DONE, tried.err
    assert (told(tried)["dry_run"], told(tried)["mended"], told(tried)["findings"]) == (True, 4, 0)
    assert stored.pairs() == damaged
    ran = alone("--output", "json", "storage", "rebuild", *stored.words)
    assert ran.status is Exit.DONE, ran.err
    said = told(ran)
    assert [said[name] for name in ("rows", "feeds", "events", "content")] == [1, 1, 1, 1]
    assert (said["verified"], said["findings"], said["findings_before"] > 0) == (True, 0, True)
    assert stored.pairs() == whole, "and nothing else was touched: the store's id, pins, answers, the outbox"
    assert alone("dag", "verify", "--deep", "--offline", *stored.words).status is Exit.DONE


def test_of_a_store_in_order_nothing_is_written(alone, stored, whole):
    epoch = stored.use(lambda store: store.claim())
    ran = alone("--output", "json", "storage", "rebuild", *stored.words)
    assert (ran.status, told(ran)["mended"]) == (Exit.DONE, 0), ran.err
    assert stored.use(lambda store: store.claim()) == epoch + 1, "nobody became its author"
    assert stored.pairs() == whole


def test_blocks_that_are_damaged_are_named_and_nothing_is_changed(alone, stored, whole):
    cid = stored.use(lambda store: dict(blocks.journal(store))[5])
    stored.put({**damage(whole), keyspace.block(cid): b"something else"})
    before = stored.pairs()
    ran = alone("storage", "rebuild", *stored.words)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert f"block {cid}, number 5 of the journal, is damaged; nothing was changed" in ran.err
    assert "from peers" in ran.err
    assert stored.pairs() == before


def test_content_that_is_damaged_is_no_obstacle_and_stays_a_finding(alone, stored, whole):
    name = keyspace.BLOCK + first(whole, keyspace.CONTENT_META)[1:]
    harm = {name: b"something else"}
    stored.put({**damage(whole), **harm})
    ran = alone("storage", "rebuild", *stored.words)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "its bytes have another name" in ran.err
    assert stored.pairs() == {**whole, **harm}


def test_what_would_be_worse_than_before_is_not_written(alone, stored, whole, monkeypatch):
    stored.put(damage(whole))
    before = stored.pairs()
    changes = rebuilding.changes

    def wrong(reader):
        made = changes(reader)
        made.delete(first(whole, keyspace.projection("supply")))
        return made

    monkeypatch.setattr(rebuilding, "changes", wrong)
    ran = alone("storage", "rebuild", *stored.words)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "would show 1 findings; nothing was changed" in ran.err
    assert stored.pairs() == before


def test_rows_that_cannot_even_be_read_are_made_again(alone, stored, whole):
    unreadable = {key: b"\xff" for key in whole if key.startswith((keyspace.projection("side"), keyspace.FEED))}
    stored.put(unreadable)
    ran = alone("storage", "rebuild", *stored.words)
    assert ran.status is Exit.DONE, ran.err
    assert stored.pairs() == whole
    assert stored.use(lambda store: verify(store, deep=True)).ok


def test_a_store_that_a_process_has_open_is_left_alone(alone, stored, whole):
    stored.put(damage(whole))
    ran = stored.use(lambda _: alone("storage", "rebuild", *stored.words))
    assert ran.status is Exit.FAULT
    assert "Stop that process" in ran.err


def test_where_there_is_no_store_none_is_made(alone, tmp_path):
    place = tmp_path / "none.sqlite"
    ran = alone("storage", "rebuild", "--storage-path", place)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert not place.exists()
