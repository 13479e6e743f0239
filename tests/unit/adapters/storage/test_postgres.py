"""What PostgreSQL brings that files do not: lost connections, lost answers, bounds on connections, TLS, roles."""

import contextlib
import itertools
import threading

import psycopg
import pytest

from icn.adapters.storage.opening import StorageSettings, open_store
from icn.adapters.storage.paging import PAGE_BYTES_MAX
from icn.adapters.storage.postgres import CONNECTIONS_MIN, PostgresStore
from icn.adapters.storage.postgres_address import parse
from icn.adapters.storage.postgres_connections import connect_writer
from icn.kernel.errors import ConfigError
from icn.stores.kv import Batch, CommitUncertain, FenceLost, StoreUnavailable
from support import postgres
from support.postgres_certificates import authority, certificate_for
from support.postgres_proxy import Proxy
from support.stores import batch, fill, open_postgres


@pytest.fixture
def server():
    return postgres.cluster()


@pytest.fixture
def url(server):
    return server.url_of_new_schema()


def end_sessions(url):
    """As an administrator, a failover or a restart does."""
    with postgres.connected(url) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'icn-node'")


# Lost connections.


def test_nothing_is_read_from_a_server_that_takes_no_writes(server):
    """A standby that lags behind, behind a name that was given to it, shows what is not the newest commit."""
    database = server.new_database()
    url = server.url(database)
    store = open_postgres(url)
    fill(store, {b"k": b"v"})
    store.snapshot().close()
    server.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")  # as new sessions find a standby
    end_sessions(url)
    for read in (lambda: store.get(b"k"), lambda: list(store.scan(b"")), store.snapshot):
        with pytest.raises(StoreUnavailable, match="read-only"):
            read()
    server.run(f"ALTER DATABASE {database} SET default_transaction_read_only = off")
    assert store.get(b"k") == b"v"
    with contextlib.closing(store.snapshot()) as snapshot:
        assert snapshot.get(b"k") == b"v"
    store.close()


def test_lost_connections_are_made_anew_without_a_word(url):
    store = open_postgres(url)
    fence = store.claim()
    store.commit(batch({b"k": b"1"}), fence)
    store.snapshot().close()
    end_sessions(url)
    assert store.get(b"k") == b"1"
    end_sessions(url)
    store.commit(batch({b"k": b"2"}), fence)
    store.snapshot().close()  # its connection waits for the next one
    end_sessions(url)
    snapshot = store.snapshot()
    assert snapshot.get(b"k") == b"2"
    end_sessions(url)
    store.commit(Batch(), fence)
    with pytest.raises(StoreUnavailable):
        snapshot.get(b"k")
    snapshot.close()
    end_sessions(url)
    assert store.claim() == fence + 1
    store.close()


@pytest.mark.slow
def test_while_the_server_is_down_the_store_is_unavailable_and_then_goes_on_by_itself():
    with postgres.own_cluster() as server:
        store = open_postgres(server.url("postgres"))
        fence = store.claim()
        store.commit(batch({b"k": b"1"}), fence)
        server.kill()
        for call in (
            lambda: store.get(b"k"),
            store.snapshot,
            lambda: store.commit(batch({b"k": b"2"}), fence),
            lambda: open_postgres(server.url("postgres")),
        ):
            with pytest.raises(StoreUnavailable) as unavailable:
                call()
            assert unavailable.value.retryable
        server.start()
        assert store.get(b"k") == b"1"
        store.commit(batch({b"k": b"2"}), fence)
        snapshot = store.snapshot()
        assert snapshot.get(b"k") == b"2"
        snapshot.close()
        store.close()


# Lost answers.


@pytest.mark.slow
@pytest.mark.parametrize("forwarded", [False, True])
def test_an_answer_to_commit_that_is_lost_leaves_its_fate_open_until_the_store_is_opened_again(forwarded):
    server = postgres.cluster()
    database = server.new_database()
    with Proxy(server.port) as proxy:
        through = server.tcp_url(database).replace(f":{server.port}/", f":{proxy.port}/")
        store = open_postgres(through)
        fence = store.claim()
        store.commit(batch({b"k": b"1"}), fence)
        proxy.cut_at(b"COMMIT\x00", forwarded=forwarded)
        with pytest.raises(CommitUncertain):
            store.commit(batch({b"k": b"2"}), fence)
        with pytest.raises(StoreUnavailable, match="close and reopen"):
            store.commit(batch({b"k": b"3"}), fence)
        with pytest.raises(StoreUnavailable, match="close and reopen"):
            store.claim()
        store.close()
        again = open_postgres(through)
        new = again.claim()  # waits for what is under way
        assert again.get(b"k") == (b"2" if forwarded else b"1")
        with pytest.raises(FenceLost):
            again.commit(batch({b"k": b"4"}), fence)
        again.commit(batch({b"k": b"5"}), new)
        again.close()


def test_a_server_that_has_gone_back_is_noticed_by_the_next_commit(url):
    """As after a failover, unseen by the connection's owner, to a server that lagged behind."""
    store = open_postgres(url)
    fence = store.claim()
    store.commit(batch({b"k": b"1"}), fence)
    with postgres.connected(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT * FROM icn_author")
    store.commit(batch({b"k": b"2"}), fence)
    with postgres.connected(url) as connection:
        connection.execute("UPDATE icn_author SET commits = (SELECT commits FROM kept)")
    with pytest.raises(CommitUncertain, match="has gone back"):
        store.commit(batch({b"l": b"3"}), fence)
    with pytest.raises(StoreUnavailable, match="close and reopen"):
        store.commit(batch({b"l": b"3"}), fence)
    store.close()
    again = open_postgres(url)
    assert again.get(b"l") is None, "nothing was written over what is missing"
    fence = again.claim()
    again.commit(batch({b"l": b"4"}), fence)
    again.close()


@pytest.mark.slow
def test_a_connection_lost_before_commit_wrote_nothing_and_the_store_goes_on():
    server = postgres.cluster()
    database = server.new_database()
    with Proxy(server.port) as proxy:
        store = open_postgres(server.tcp_url(database).replace(f":{server.port}/", f":{proxy.port}/"))
        fence = store.claim()
        store.commit(batch({b"k": b"1"}), fence)
        proxy.cut_at(b"needle in a batch", forwarded=False)
        store.commit(batch({b"k": b"needle in a batch"}), fence)  # tried again, once
        assert store.get(b"k") == b"needle in a batch"
        store.close()


@pytest.mark.slow
def test_an_author_that_stops_in_the_middle_of_a_transaction_does_not_hold_its_successor_up(url):
    store = open_postgres(url)
    fence = store.claim()
    paused = connect_writer(parse(url, connection_timeout_ms=10_000))
    paused.execute("BEGIN")
    paused.execute("UPDATE icn_author SET commits = commits + 1 WHERE epoch = %s", (fence,))
    assert store.claim() == fence + 1
    with pytest.raises(psycopg.Error):
        paused.execute("COMMIT")
    paused.close()
    store.close()


ROUNDS = 6


@pytest.mark.slow
def test_sigkill_of_the_server_under_load_loses_nothing_that_was_acknowledged():
    with postgres.own_cluster() as server:
        settings = StorageSettings("postgresql", url=server.url("postgres"))
        store = open_store(settings)
        fence = store.claim()
        acknowledged = -1
        for _round in range(ROUNDS):
            enough = threading.Event()
            ended: list[Exception] = []

            def write(begin, store=store, fence=fence, enough=enough, ended=ended):
                nonlocal acknowledged
                try:
                    for number in itertools.count(begin):
                        store.commit(batch({b"%08d" % number: b"v" * 3000, b"count": b"%d" % number}), fence)
                        acknowledged = number
                        if number == begin + 50:
                            enough.set()
                except Exception as error:  # noqa: BLE001 - judged below
                    ended.append(error)

            writer = threading.Thread(target=write, args=(acknowledged + 1,))
            writer.start()
            assert enough.wait(60)
            server.kill()
            writer.join(60)
            assert isinstance(ended[0], StoreUnavailable | CommitUncertain), ended
            store.close()
            server.start()
            store = open_store(settings)
            fence = store.claim()
            count = int(store.get(b"count"))
            assert acknowledged <= count <= acknowledged + 1
            assert [key for key, _ in store.scan(b"0")] == [b"%08d" % number for number in range(count + 1)]
            acknowledged = count
        store.close()


# Bounds.


def test_a_process_keeps_to_its_connections_and_says_so_when_snapshots_want_more(server):
    database = server.new_database()
    count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
    store = open_store(
        StorageSettings(
            "postgresql", url=server.url(database), connections_max=CONNECTIONS_MIN + 1, connection_timeout_ms=50
        )
    )
    snapshots = [store.snapshot(), store.snapshot()]
    with pytest.raises(StoreUnavailable, match=r"2 snapshots are open.*raise \[storage\] max_connections"):
        store.snapshot()
    assert store.get(b"k") is None, "reads of the newest commit have a connection of their own"
    fill(store, {b"k": b"v"})
    assert server.run(count) == [(CONNECTIONS_MIN + 1,)]
    snapshots.pop().close()
    snapshots.append(store.snapshot())
    for snapshot in snapshots:
        snapshot.close()
    store.close()


def test_a_snapshot_waits_for_one_that_is_closed_in_time(url):
    settings = StorageSettings("postgresql", url=url, connections_max=CONNECTIONS_MIN, connection_timeout_ms=20_000)
    store = open_store(settings)
    first = store.snapshot()
    got = []
    thread = threading.Thread(target=lambda: got.append(store.snapshot()))
    thread.start()
    first.close()
    thread.join(20)
    got[0].close()
    store.close()


def test_too_few_connections_are_a_mistake_of_the_configuration(url):
    with pytest.raises(ConfigError, match="max_connections = 3 is too few: 4 are needed"):
        PostgresStore.open(url, connections_max=3, connection_timeout_ms=1000)


@pytest.mark.slow
def test_a_page_of_large_values_is_bounded_in_bytes(url):
    store = open_postgres(url)
    value = bytes(PAGE_BYTES_MAX // 4)
    fill(store, {b"k%02d" % number: value for number in range(12)})
    rows, is_last = store._reading._page(postgres_statement_of_a_scan(), b"", b"\xff", 1000)
    assert (len(rows), is_last) == (4, False)
    assert [key for key, _ in store.scan(b"k")] == [b"k%02d" % number for number in range(12)]
    assert [key for key, _ in store.scan_down(b"k")] == [b"k%02d" % number for number in range(11, -1, -1)]
    store.close()


def postgres_statement_of_a_scan():
    from icn.adapters.storage import postgres_reading

    return postgres_reading._ASCENDING


def test_commits_are_synced_whatever_the_database_says(server):
    database = server.new_database()
    server.run(f"ALTER DATABASE {database} SET synchronous_commit = off")
    store = open_postgres(server.url(database))
    assert store._writer.get()[0].execute("SHOW synchronous_commit").fetchone() == ("on",)
    store.close()


def test_reads_go_by_the_key_also_before_the_server_knows_the_table(url):
    store = open_postgres(url)
    snapshot = store.snapshot()
    plan = snapshot._connection.execute(
        "EXPLAIN SELECT k, v FROM icn_kv WHERE k >= 'a' AND k < 'b' ORDER BY k LIMIT 10"
    ).fetchall()
    assert "Index Scan using icn_kv_pkey" in str(plan)
    snapshot.close()
    store.close()


# Who may come in, and over what.


def test_a_database_that_is_missing_is_named_with_what_to_type(server):
    with pytest.raises(ConfigError, match="createdb no_such_place"):
        open_postgres(server.url("no_such_place"))


def test_a_wrong_password_is_refused_and_not_repeated(server):
    with pytest.raises(ConfigError, match="refuses the user or the password") as refused:
        open_postgres(server.tcp_url("postgres", password="wr0ng-wr0ng"))
    assert "wr0ng" not in str(refused.value) + repr(refused.value)
    assert "postgresql://postgres@127.0.0.1:" in str(refused.value)


def test_a_role_that_may_not_make_tables_is_told_what_it_needs(server):
    database = server.new_database()
    role = f"guest_of_{database}"
    server.run(f"CREATE ROLE {role} LOGIN PASSWORD 'guest-guest'")
    with pytest.raises(ConfigError, match=r"permission denied.*role must own the database"):
        open_postgres(server.tcp_url(database, user=role, password="guest-guest"))


def test_a_role_with_too_few_connections_is_told_so(server):
    database = server.new_database()
    role = f"owner_of_{database}"
    server.run(f"CREATE ROLE {role} LOGIN PASSWORD 'owner-owner' CONNECTION LIMIT 1")
    server.run(f"ALTER DATABASE {database} OWNER TO {role}")
    with pytest.raises(StoreUnavailable, match=r"too many connections.*lower \[storage\] max_connections"):
        open_postgres(server.tcp_url(database, user=role, password="owner-owner"))


def test_a_store_shows_no_password(server):
    database = server.new_database()
    store = open_postgres(server.tcp_url(database))
    assert postgres.PASSWORD not in repr(store) + str(vars(store))
    store.close()
    with pytest.raises(StoreUnavailable) as closed:
        store.close()
    assert postgres.PASSWORD not in str(closed.value)
    assert "postgresql://postgres@127.0.0.1:" in str(closed.value)


@pytest.mark.slow
def test_over_tls_the_server_must_prove_who_it_is(tmp_path):
    ours, theirs = authority("ours"), authority("theirs")
    for name, issuer in (("ours", ours), ("theirs", theirs)):
        (tmp_path / f"{name}.pem").write_bytes(issuer.certificate_pem)
    with postgres.own_cluster() as server:
        server.stop()
        server.use_certificate(*certificate_for(ours, "127.0.0.1"))
        server.start()

        def url(issuer, mode="verify-full"):
            return server.tcp_url("postgres", options=f"?sslmode={mode}&sslrootcert={tmp_path / issuer}.pem")

        store = open_postgres(url("ours"))
        connection, _ = store._writer.get()
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        fill(store, {b"k": b"v"})
        store.close()
        with pytest.raises(ConfigError, match="not signed by the authority in sslrootcert"):
            open_postgres(url("theirs"))
        with pytest.raises(ConfigError, match="does not exist"):
            open_postgres(url("missing"))
        server.stop()
        server.use_certificate(*certificate_for(ours, "127.0.0.2"))
        server.start()
        with pytest.raises(ConfigError, match="made out to another host name"):
            open_postgres(url("ours"))
        open_postgres(url("ours", "verify-ca")).close()


def test_a_server_without_tls_is_refused_where_tls_was_asked_for(server, tmp_path):
    (tmp_path / "ca.pem").write_bytes(authority("ours").certificate_pem)
    with pytest.raises(ConfigError, match="the server has no TLS"):
        open_postgres(server.tcp_url("postgres", options=f"?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem"))
