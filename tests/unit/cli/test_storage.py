"""Moving a store to another engine: whole and verified or not at all, and never two stores of one node."""

import os

import apsw
import pytest

from icn.adapters.storage.opening import BACKENDS, StorageSettings, open_store
from icn.cli.endings import Exit
from icn.stores import copying, keyspace, moving
from icn.stores.moving import StoreIncomplete, StoreMoved
from icn.stores.schema import format_of, store_id
from support.cli_server import answer
from support.sample_stores import busy_node, pairs_of, pour
from support.stores import batch

ENGINES = [name for name in BACKENDS if name in {"sqlite", "sled", "rocksdb"}]


@pytest.fixture(scope="module")
def sample():
    return busy_node()


@pytest.fixture
def stored(tmp_path, sample):
    path = tmp_path / "dag.sqlite"
    with_store(path, lambda store: pour(sample.store, store))
    return path


def with_store(path, use, backend="sqlite"):
    store = open_store(StorageSettings(backend, path))
    try:
        return use(store)
    finally:
        store.close()


def commit(path, operations):
    with_store(path, lambda store: store.commit(batch(operations), store.claim()))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_store_moves_and_only_the_new_one_can_be_opened(alone, stored, tmp_path, sample, engine):
    there = tmp_path / "new" / f"store.{engine}"
    before = with_store(stored, pairs_of)
    ran = alone("storage", "migrate", "--to", engine.upper(), "--to-path", there, "--storage-path", stored)
    assert ran.status is Exit.DONE, ran.err
    assert f'[storage] backend = "{engine}", path = "{there}"' in ran.text
    assert "verified" in ran.text
    assert with_store(there, pairs_of, engine) == before
    with pytest.raises(StoreMoved, match=str(there)):
        with_store(stored, format_of)
    assert {k: v for k, v in with_store(stored, pairs_of).items() if k != moving.MOVED_TO} == before
    again = alone("storage", "migrate", "--to", engine, "--to-path", there, "--storage-path", stored)
    assert again.status is Exit.REFUSED
    assert "was moved to" in again.err
    other = alone("storage", "migrate", "--to", engine, "--to-path", tmp_path / "x", "--storage-path", stored)
    assert (other.status, "store.moved" in other.err) == (Exit.FAULT, True)
    assert not (tmp_path / "x").exists()
    back = alone(
        *("storage", "migrate", "--storage-backend", engine, "--storage-path", there),
        *("--to", "sqlite", "--to-path", tmp_path / "back.sqlite"),
    )
    assert back.status is Exit.DONE, back.err
    assert with_store(tmp_path / "back.sqlite", pairs_of) == before


def test_the_default_place_is_that_of_the_engine_in_the_data_directory(alone, stored, tmp_path):
    alone.environ["ICN_DATA_DIR"] = str(tmp_path)
    ran = alone("storage", "migrate", "--to", "sqlite")
    assert ran.status is Exit.USAGE
    assert "is the store itself" in ran.err
    moved = alone("storage", "migrate", "--to", "sqlite", "--to-path", os.path.relpath(tmp_path / "b.sqlite"))
    assert moved.status is Exit.DONE
    with pytest.raises(StoreMoved, match=f"moved to {tmp_path}/b.sqlite"):
        with_store(stored, format_of)
    alone("storage", "reopen", "--copy-never-used")
    assert with_store(stored, format_of) is not None


def test_a_move_that_broke_off_is_finished_by_the_same_command(alone, stored, tmp_path, sample):
    there = tmp_path / "there.sqlite"
    known_as = with_store(stored, store_id)
    half = dict(list(pairs_of(sample.store).items())[::2])
    commit(there, {**half, b"a leftover": b"", moving.MIGRATION: known_as})
    with pytest.raises(StoreIncomplete):
        with_store(there, format_of)
    for moved_already in (False, True):
        if moved_already:  # killed between its last two commits
            commit(there, {moving.MIGRATION: known_as})
            assert with_store(stored, moving.moved_to) == str(there)
        ran = alone("storage", "migrate", "--to", "sqlite", "--to-path", there, "--storage-path", stored)
        assert ran.status is Exit.DONE, ran.err
        assert with_store(there, pairs_of) == pairs_of(sample.store)


def test_nothing_is_copied_over(alone, stored, tmp_path):
    there = tmp_path / "there.sqlite"
    commit(there, {b"a": b"1"})
    ran = alone("storage", "migrate", "--to", "sqlite", "--to-path", there, "--storage-path", stored)
    assert (ran.status, "is not empty" in ran.err) == (Exit.FAULT, True)
    assert with_store(there, pairs_of) == {b"a": b"1"}
    assert with_store(there, lambda store: store.claim()) == 2, "nobody became its author"
    assert with_store(stored, format_of) is not None


def test_a_damaged_store_is_not_moved(alone, stored, tmp_path, sample):
    key = next(key for key, _ in sample.store.scan(keyspace.CONTENT_META))
    commit(stored, {key: None})
    there = tmp_path / "there.sqlite"
    ran = alone("storage", "migrate", "--to", "sqlite", "--to-path", there, "--storage-path", stored)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "does not pass verification" in ran.err
    assert with_store(stored, format_of) is not None, "the original can be used"
    with pytest.raises(StoreIncomplete):
        with_store(there, format_of)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--to", "memory"), Exit.USAGE, "memory keeps nothing"),
        (("--to", "sqlit"), Exit.CONFIGURATION, "flag --to: storage.backend = 'sqlit': should be one of"),
        (("--to", "postgres"), Exit.CONFIGURATION, "no database is given"),
        (("--to", "postgres", "--to-path", "/x"), Exit.CONFIGURATION, "flag --to-path: storage.path is a path"),
        (("--to", "sqlite", "--to-url", "postgres://u:SECRET@h/d"), Exit.CONFIGURATION, "flag --to-url"),
        ((), Exit.USAGE, "--to"),
    ],
)
def test_a_place_that_cannot_be_is_refused(alone, stored, words, status, said):
    ran = alone("storage", "migrate", *words, "--storage-path", stored)
    assert ran.status is status
    assert said in ran.err
    assert "SECRET" not in ran.err


def test_what_cannot_be_moved_is_left_alone(alone, tmp_path):
    ran = alone("storage", "migrate", "--to", "sqlite", "--to-path", tmp_path / "b", "--storage-path", tmp_path / "a")
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    open_store(StorageSettings("sqlite", tmp_path / "a")).close()
    ran = alone("storage", "migrate", "--to", "sqlite", "--to-path", tmp_path / "b", "--storage-path", tmp_path / "a")
    assert (ran.status, "is empty" in ran.err) == (Exit.NOT_FOUND_OR_UNVERIFIED, True)
    commit(tmp_path / "a", {keyspace.about("format"): b"1"})
    ran = alone("storage", "migrate", "--to", "sqlite", "--to-path", tmp_path / "b", "--storage-path", tmp_path / "a")
    assert (ran.status, "start icn-node on it once" in ran.err) == (Exit.FAULT, True)
    assert not (tmp_path / "b").exists()


def test_a_store_that_a_process_uses_is_not_moved(alone, stored, tmp_path):
    held = open_store(StorageSettings("sqlite", stored))
    try:
        ran = alone("storage", "migrate", "--to", "sqlite", "--to-path", tmp_path / "b", "--storage-path", stored)
    finally:
        held.close()
    assert (ran.status, "is in use by process" in ran.err) == (Exit.FAULT, True)
    assert not (tmp_path / "b").exists()


def test_a_move_can_be_taken_back_by_who_says_that_the_copy_was_never_used(alone, stored, tmp_path):
    assert alone("storage", "reopen", "--storage-path", stored).status is Exit.REFUSED
    alone("storage", "migrate", "--to", "sqlite", "--to-path", tmp_path / "b", "--storage-path", stored)
    ran = alone("storage", "reopen", "--storage-path", stored)
    assert (ran.status, "--copy-never-used" in ran.err) == (Exit.REFUSED, True)
    with pytest.raises(StoreMoved):
        with_store(stored, format_of)
    ran = alone("storage", "reopen", "--copy-never-used", "--storage-path", stored)
    assert ran.status is Exit.DONE
    assert str(tmp_path / "b") in ran.text
    assert with_store(stored, format_of) is not None


def test_info_tells_of_a_store_what_it_is_also_when_nobody_may_open_it(alone, stored, tmp_path, sample):
    known = alone("storage", "info", "--storage-path", stored, "--output", "json").json
    held = list(copying.contents(sample.store))[-1]
    assert known["rows"] == held.rows
    assert known["bytes"] == held.size
    assert known["blocks"] == sample.engine.state.feeds.block_count
    assert known["content"] == 3
    assert (known["owner"], known["backend"], known["place"]) == (str(sample.did), "sqlite", str(stored))
    assert known["store_id"] == with_store(stored, store_id).hex()
    assert (known["moved_to"], known["unfinished_copy"]) == (None, False)
    alone("storage", "migrate", "--to", "sqlite", "--to-path", tmp_path / "b", "--storage-path", stored)
    assert alone("storage", "info", "--storage-path", stored, "--output", "json").json["moved_to"] == str(
        tmp_path / "b"
    )


def test_info_asks_the_node_that_uses_the_store(node, cli):
    node.on(
        "GET",
        "/info",
        answer({"storage": {"backend": "sled", "path": "/d"}, "did": "did:key:z", "listen": {"http": "127.0.0.1:1"}}),
    )
    ran = cli("storage", "info")
    assert ran.status is Exit.DONE
    assert "the node at 127.0.0.1:1" in ran.text


def add_trigger(path, statement):
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


def test_a_copy_that_reads_back_otherwise_is_never_used(alone, stored, tmp_path):
    there = tmp_path / "there.sqlite"
    commit(there, {moving.MIGRATION: with_store(stored, store_id)})
    add_trigger(
        there,
        "CREATE TRIGGER worn_out AFTER INSERT ON kv WHEN substr(new.k, 1, 1) = x'77' "
        "BEGIN UPDATE kv SET v = x'00' WHERE id = new.id; END",
    )
    ran = alone("storage", "migrate", "--to", "sqlite", "--to-path", there, "--storage-path", stored)
    assert (ran.status, "is not what" in ran.err) == (Exit.NOT_FOUND_OR_UNVERIFIED, True)
    assert with_store(stored, format_of) is not None, "the original can be used"
    with pytest.raises(StoreIncomplete):
        with_store(there, format_of)


def test_the_original_is_closed_before_the_copy_is_opened(alone, stored, tmp_path, sample):
    there = tmp_path / "there.sqlite"
    commit(there, {moving.MIGRATION: with_store(stored, store_id)})
    note = moving.MIGRATION.hex()
    add_trigger(
        there,
        f"CREATE TRIGGER power_cut BEFORE DELETE ON kv WHEN old.k = x'{note}' BEGIN SELECT RAISE(ABORT, 'cut'); END",
    )
    words = ("storage", "migrate", "--to", "sqlite", "--to-path", there, "--storage-path", stored)
    assert alone(*words).status is not Exit.DONE
    with pytest.raises(StoreMoved):
        with_store(stored, format_of)
    with pytest.raises(StoreIncomplete):
        with_store(there, format_of)
    add_trigger(there, "DROP TRIGGER power_cut")
    assert alone(*words).status is Exit.DONE
    assert with_store(there, pairs_of) == pairs_of(sample.store)
