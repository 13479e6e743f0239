"""A small store with some of everything in it, for tests that copy, verify or upgrade stores."""

from icn.kernel.ids import RAW
from icn.services.commands import OpenAccountFor, Pay, PutContent, Submit
from icn.stores import keyspace
from icn.stores.kv import KeyValueStore, Reader
from support.http_node import HttpNode, signer_of
from support.http_specs import echo_spec
from support.stores import batch

MEMBER = signer_of(9).did


def busy_node() -> HttpNode:
    """Accounts, transfers, a job that ended and one that is open, content pinned and passing."""
    made = HttpNode()
    made.found()
    made.ask(OpenAccountFor(MEMBER))
    for amount in (1, 2, 3):
        made.clock.moment += 1000
        made.ask(Pay(MEMBER, amount, ""))  # type: ignore[arg-type]  # an amount
    made.ask(Submit(echo_spec(made.now()), b"hi"))
    made.executes = False
    made.ask(Submit(echo_spec(made.now()), b"later"))
    made.ask(PutContent(b"kept", RAW, pinned=True, lifetime_ms=None))
    made.ask(PutContent(b"passing" * 20_000, RAW, pinned=False, lifetime_ms=3_600_000))
    return made


def pairs_of(reader: Reader) -> dict[bytes, bytes]:
    """All of a small store."""
    return dict(reader.scan(b""))


def index_of(reader: Reader) -> dict[bytes, bytes]:
    """What finds jobs and receipts in the journal."""
    prefixes = (keyspace.JOB_EVENT, keyspace.RECEIPT, keyspace.JOB_CORRELATION)
    return {key: value for prefix in prefixes for key, value in reader.scan(prefix)}


def pour(source: Reader, target: KeyValueStore) -> None:
    """Make `target` hold what `source` holds."""
    target.commit(batch(dict(pairs_of(source))), target.claim())
