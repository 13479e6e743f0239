"""What the server and its client library say, as faults of the port."""

import psycopg
import pytest
from psycopg import errors

from icn.adapters.storage.postgres_address import parse
from icn.adapters.storage.postgres_faults import Edge
from icn.kernel.errors import ConfigError, InvariantBroken
from icn.stores.kv import StoreCorrupt, StoreFull, StoreUnavailable

ADDRESS = parse("postgresql://u:geheimnis@h/d", connection_timeout_ms=1000)


def fault_of(error: Exception, *, opening: bool = False) -> Exception:
    with pytest.raises(Exception, match=r"postgresql://u@h") as caught, Edge(ADDRESS, opening=opening):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("error", "fault", "advice"),
    [
        (errors.DiskFull("could not extend file"), StoreFull, "make room on the server's disk"),
        (errors.ReadOnlySqlTransaction("cannot execute INSERT"), StoreUnavailable, "target_session_attrs=read-write"),
        (errors.TooManyConnections("sorry"), StoreUnavailable, "raise max_connections"),
        (errors.DataCorrupted("invalid page"), StoreCorrupt, "restore a backup"),
        (errors.IndexCorrupted("broken"), StoreCorrupt, "restore a backup"),
        (errors.AdminShutdown("terminating connection"), StoreUnavailable, "terminating"),
        (errors.CannotConnectNow("starting up"), StoreUnavailable, "starting up"),
        (errors.LockNotAvailable("lock timeout"), StoreUnavailable, "lock timeout"),
        (errors.SerializationFailure("concurrent update"), StoreUnavailable, "concurrent update"),
        (errors.OutOfMemory("oom"), StoreUnavailable, "oom"),
        (errors.IdleInTransactionSessionTimeout("idle"), StoreUnavailable, "idle"),
        (psycopg.OperationalError("connection refused"), StoreUnavailable, "refused"),
        (psycopg.OperationalError("FATAL: sorry, too many clients already"), StoreUnavailable, "max_connections"),
        (errors.SyntaxError("at or near"), InvariantBroken, "at or near"),
    ],
)
def test_each_error_has_one_meaning_and_says_what_to_do(error, fault, advice):
    seen = fault_of(error)
    assert type(seen) is fault
    assert advice in str(seen)


@pytest.mark.parametrize(
    "error",
    [
        errors.InsufficientPrivilege("permission denied for schema public"),
        psycopg.OperationalError('FATAL: database "d" does not exist'),
        psycopg.OperationalError('FATAL: password authentication failed for user "u"'),
        psycopg.OperationalError("SSL error: certificate verify failed"),
    ],
)
def test_what_an_operator_must_mend_stops_a_start_and_only_makes_a_running_store_unavailable(error):
    assert type(fault_of(error, opening=True)) is ConfigError
    assert type(fault_of(error)) is StoreUnavailable


def test_a_password_that_the_server_repeats_is_blotted_out():
    seen = fault_of(psycopg.OperationalError("cannot connect with geheimnis\nto h"))
    assert "geheimnis" not in str(seen)
    assert "*** to h" in str(seen), "in one line"


def test_other_errors_pass():
    with pytest.raises(KeyError), Edge(ADDRESS):
        raise KeyError
