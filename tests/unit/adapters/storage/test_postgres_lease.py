"""One of several processes tries to author: who has the lease, who waits, and when it comes free."""

import os
import threading
import time

import pytest

from icn.adapters.storage import postgres_lease
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.adapters.storage.postgres_address import parse
from icn.adapters.storage.postgres_lease import Lease
from icn.kernel.errors import ConfigError
from icn.stores.kv import FenceLost, StoreInUse, StoreUnavailable
from support import postgres
from support.stores import batch, fill


@pytest.fixture
def settings():
    return StorageSettings("postgresql", url=postgres.cluster().url_of_new_schema())


class Waiting(threading.Event):
    """Tells when the standby has looked and waits."""

    def __init__(self):
        super().__init__()
        self.looked = threading.Event()

    def wait(self, timeout=None):
        self.looked.set()
        return super().wait(timeout)


def standby(settings, wait):
    got = []
    thread = threading.Thread(target=lambda: got.append(open_store(settings, wait=wait)))
    thread.start()
    assert wait.looked.wait(20)
    return thread, got


def test_a_second_opener_is_refused_with_the_name_of_the_holder(settings):
    holder = open_store(settings)
    with pytest.raises(StoreInUse, match=f"in use by process {os.getpid()} on "):
        open_store(settings)
    fill(holder, {b"k": b"v"})
    holder.close()
    open_store(settings).close()


@pytest.mark.slow
def test_a_standby_takes_over_at_once_when_the_holder_closes(settings):
    holder = open_store(settings)
    fill(holder, {b"k": b"v"})
    thread, got = standby(settings, Waiting())
    assert not got
    begun = time.monotonic()
    holder.close()
    thread.join(20)
    assert time.monotonic() - begun < postgres_lease.LEASE_SECS
    assert got[0].get(b"k") == b"v"
    assert got[0].claim() == 2
    got[0].close()


@pytest.mark.slow
def test_a_standby_that_is_told_to_stop_returns_without_a_store(settings):
    holder = open_store(settings)
    wait = Waiting()
    thread, got = standby(settings, wait)
    wait.set()
    thread.join(20)
    assert got == [None]
    holder.close()


def _silence(monkeypatch):
    """Holders that never renew, as if they were paused, and a lease that is soon over."""
    monkeypatch.setattr(postgres_lease, "RENEWAL_SECS", 3600.0)
    monkeypatch.setattr(postgres_lease, "LEASE_SECS", 0.05)


@pytest.mark.slow
def test_a_holder_that_is_not_heard_of_loses_the_lease_and_what_it_writes_is_refused(settings, monkeypatch):
    with monkeypatch.context() as silent:
        _silence(silent)
        paused = open_store(settings)
        old = paused.claim()
        successor = open_store(settings, wait=threading.Event())
    new = successor.claim()
    with pytest.raises(FenceLost):
        paused.commit(batch({b"k": b"late"}), old)
    with pytest.raises(FenceLost):
        paused.commit(batch({}), old)
    successor.commit(batch({b"k": b"new"}), new)
    paused.close()  # takes nothing away from its successor
    with pytest.raises(StoreInUse):
        open_store(settings)
    assert successor.get(b"k") == b"new"
    successor.close()


@pytest.mark.slow
def test_an_epoch_that_is_given_again_after_a_failover_lets_nobody_in_beside_its_author(settings, monkeypatch):
    """The server that was promoted knew neither the lease nor the claim nor the commit; the counts are alike since."""
    monkeypatch.setattr(postgres_lease, "RENEWAL_SECS", 3600.0)  # the one that was cut off has not looked yet
    cut_off = open_store(settings)
    fence = cut_off.claim()
    cut_off.commit(batch({b"k": b"lost"}), fence)
    with postgres.connected(settings.url) as connection:
        connection.execute("UPDATE icn_author SET epoch = 0, commits = 0")
        connection.execute("UPDATE icn_lease SET token = ''")
        connection.execute("DELETE FROM icn_kv")
    author = open_store(settings)
    assert author.claim() == fence
    author.commit(batch({b"k": b"kept"}), fence)
    with pytest.raises(FenceLost, match="another process"):
        cut_off.commit(batch({b"k": b"beside"}), fence)
    assert author.get(b"k") == b"kept"
    cut_off.close()
    author.close()


@pytest.mark.slow
@pytest.mark.parametrize("stands_by", [False, True], ids=["at once", "standing by"])
def test_a_dead_holder_s_lease_is_over_though_the_server_s_clock_was_set_back(settings, monkeypatch, stands_by):
    with monkeypatch.context() as silent:
        silent.setattr(postgres_lease, "RENEWAL_SECS", 3600.0)
        dead = open_store(settings)
        old = dead.claim()
    monkeypatch.setattr(postgres_lease, "LEASE_SECS", 0.6)
    with postgres.connected(settings.url) as connection:
        connection.execute("UPDATE icn_lease SET renewed_at = now() + interval '1 hour'")
    begun, stop = time.monotonic(), threading.Event()
    giving_up = threading.Timer(20, stop.set)
    giving_up.start()
    successor = open_store(settings, wait=stop) if stands_by else open_store(settings)
    giving_up.cancel()
    assert successor is not None, "it waits until the clock has come round"
    assert time.monotonic() - begun >= postgres_lease.LEASE_SECS, "it was given its time to renew"
    successor.claim()
    with pytest.raises(FenceLost):
        dead.commit(batch({b"k": b"late"}), old)
    dead.close()
    successor.close()


@pytest.mark.slow
def test_a_holder_that_lives_keeps_its_lease_when_the_server_s_clock_was_set_back(settings, monkeypatch):
    monkeypatch.setattr(postgres_lease, "RENEWAL_SECS", 0.2)
    monkeypatch.setattr(postgres_lease, "LEASE_SECS", 2.0)
    holder = open_store(settings)
    with postgres.connected(settings.url) as connection:
        connection.execute("UPDATE icn_lease SET renewed_at = now() + interval '1 hour'")
    with pytest.raises(StoreInUse):
        open_store(settings)
    assert not holder._lease.is_lost
    holder.close()


@pytest.mark.slow
def test_a_holder_goes_on_renewing_whatever_a_connection_met(settings, monkeypatch):
    """A server that was restarted without fsync, say, and put right again."""
    monkeypatch.setattr(postgres_lease, "RENEWAL_SECS", 0.02)
    lease = Lease.take(parse(settings.url, connection_timeout_ms=10_000), wait=None)
    refused = threading.Event()
    make = lease._connection._make

    def refuse_once():
        if refused.is_set():
            return make()
        refused.set()
        raise ConfigError("the server runs with fsync = off")

    lease._connection._make = refuse_once
    lease._connection._connection.close()
    assert refused.wait(20)
    with postgres.connected(settings.url) as connection:
        connection.execute("UPDATE icn_lease SET renewed_at = 'epoch'")
        until = time.monotonic() + 5
        while (is_renewed := connection.execute("SELECT renewed_at > 'epoch' FROM icn_lease").fetchone()) == (False,):
            assert time.monotonic() < until, "nobody renews any more"
    assert is_renewed == (True,)
    lease.close()


@pytest.mark.slow
def test_a_lease_is_renewed_for_as_long_as_it_is_held(settings, monkeypatch):
    monkeypatch.setattr(postgres_lease, "RENEWAL_SECS", 0.05)
    holder = open_store(settings)
    with postgres.connected(settings.url) as connection:
        renewals = set()
        until = time.monotonic() + 20
        while len(renewals) < 4 and time.monotonic() < until:
            renewals.add(connection.execute("SELECT renewed_at FROM icn_lease").fetchone())
    assert len(renewals) == 4
    holder.close()


@pytest.mark.slow
def test_a_holder_that_finds_its_lease_taken_says_so(settings, monkeypatch):
    monkeypatch.setattr(postgres_lease, "RENEWAL_SECS", 0.02)
    lease = Lease.take(parse(settings.url, connection_timeout_ms=10_000), wait=None)
    assert not lease.is_lost
    with postgres.connected(settings.url) as connection:
        connection.execute("UPDATE icn_lease SET token = 'x', holder = 'another'")
    lease._thread.join(20)
    assert lease.is_lost
    lease.close()


@pytest.mark.slow
def test_the_server_may_go_away_and_come_back(monkeypatch):
    monkeypatch.setattr(postgres_lease, "RENEWAL_SECS", 0.05)
    with postgres.own_cluster() as server:
        settings = StorageSettings("postgresql", url=server.url("postgres"))
        holder = open_store(settings)
        fill(holder, {b"k": b"v"})
        thread, got = standby(settings, wait := Waiting())
        server.kill()
        holder.close()  # it cannot say that it lets go
        with pytest.raises(StoreUnavailable):
            open_store(settings)
        for _look in range(2):  # the second one began after the server had gone
            wait.looked.clear()
            assert wait.looked.wait(20), "who stands by outlasts the server"
        assert not got
        wait.set()
        thread.join(20)
        assert got == [None]
        server.start()
        again = open_store(settings)  # at once: it was ours, and we have let go of it
        assert again.get(b"k") == b"v"
        assert again.claim() == 2
        again.close()
