"""Tables of ours: made once, recognised, refused when they are somebody else's or newer; and a server that keeps."""

import threading

import pytest

from icn.kernel.errors import ConfigError
from icn.stores.kv import StoreCorrupt, StoreNewer, StoreUnavailable
from support import postgres
from support.stores import fill, open_postgres


@pytest.fixture
def url():
    return postgres.cluster().url_of_new_schema()


def run(url, *statements):
    with postgres.connected(url) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_later_format_is_refused_and_says_what_to_do(url):
    open_postgres(url).close()
    run(url, "UPDATE icn_author SET format = 2")
    with pytest.raises(StoreNewer, match="has format 2; this release reads up to 1"):
        open_postgres(url)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE icn_kv (k text PRIMARY KEY, v text)"],
        ["CREATE TABLE icn_kv (k bytea PRIMARY KEY, v bytea)"],
        ["CREATE TABLE icn_author (name text)"],
        ["CREATE TABLE icn_author (format text)"],
    ],
)
def test_tables_that_are_not_ours_are_left_alone(url, statements):
    run(url, *statements)
    with pytest.raises(StoreCorrupt, match="not a whole store of icn-node"):
        open_postgres(url)
    with postgres.connected(url) as connection:
        tables = connection.execute(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()"
        )
        assert tables.fetchone() == (1,)


@pytest.mark.parametrize("statement", ["DROP TABLE icn_kv", "DELETE FROM icn_author", "DELETE FROM icn_lease"])
def test_a_store_of_which_a_part_is_gone_is_refused(url, statement):
    open_postgres(url).close()
    run(url, statement)
    with pytest.raises(StoreCorrupt, match="restore a backup"):
        open_postgres(url)


def test_other_tables_beside_ours_do_not_matter(url):
    run(url, "CREATE TABLE kv (a text)", "CREATE TABLE members (name text)")
    store = open_postgres(url)
    fill(store, {b"k": b"v"})
    store.close()


@pytest.mark.slow
def test_processes_that_start_on_an_empty_database_at_once_find_one_store(url):
    ready = threading.Barrier(6)
    claimed, failed = [], []

    def begin():
        ready.wait()
        try:
            store = open_postgres(url)
            claimed.append(store.claim())
            store.close()
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            failed.append(error)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(claimed) == [1, 2, 3, 4, 5, 6]


def test_values_are_stored_uncompressed(url):
    open_postgres(url).close()
    with postgres.connected(url) as connection:
        storage = connection.execute(
            "SELECT attstorage::text FROM pg_attribute WHERE attrelid = 'icn_kv'::regclass AND attname = 'v'"
        )
        assert storage.fetchone() == ("e",)


def test_a_read_only_server_is_refused_with_what_to_do():
    server = postgres.cluster()
    database = server.new_database()
    server.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match=r"read-only.*target_session_attrs=read-write"):
        open_postgres(server.url(database))


@pytest.mark.slow
def test_a_server_that_does_not_sync_is_refused_with_what_to_do():
    with postgres.own_cluster() as server:
        server.stop()
        server.configure({"fsync": "off"})
        server.start()
        with pytest.raises(ConfigError, match=r"fsync = off and would lose acknowledged writes.*set fsync = on"):
            open_postgres(server.url("postgres"))
