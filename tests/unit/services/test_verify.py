"""Verification finds what was done to a store, all of it, and finds nothing in one that is as it should be."""

from dataclasses import replace

import pytest

from icn.domain.dag.block import parse_block, sign_block
from icn.domain.ledger.model import Supply
from icn.kernel.encoding import encode, encode_ordered
from icn.kernel.fields import shape_of
from icn.kernel.ids import DAG_CBOR, RAW, Cid
from icn.services import rows
from icn.services.block_names import named_blocks
from icn.services.commands import OpenAccountFor, Pay, PutContent, Submit
from icn.services.findings import Report
from icn.services.verify import verify
from icn.stores import blocks, keyspace
from icn.stores.blocks import BlockMeta
from icn.stores.kv import Batch
from support.http_node import HttpNode, signer_of
from support.http_specs import echo_spec
from support.stores import batch

MEMBER = signer_of(9).did


@pytest.fixture
def node() -> HttpNode:
    """Some of everything: accounts, transfers, a job that ended, one that is open, content."""
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
    return made


def tamper(node: HttpNode, operations: dict[bytes, bytes | None]) -> Report:
    """What deep verification says after the store was changed behind the node's back."""
    node.store.commit(batch(operations), node.store.claim())
    return verify(node.store, node.did, deep=True)


def said(report: Report) -> str:
    return "\n".join(f"{finding.where}: {finding.what}" for finding in report.findings)


def journal_cid(node: HttpNode, arrival: int) -> Cid:
    return dict(blocks.journal(node.store))[arrival]


def test_nothing_is_wrong_with_a_store_of_ours(node: HttpNode) -> None:
    for deep in (False, True):
        report = verify(node.store, node.did, deep=deep)
        assert (report.ok, report.findings) == (True, ()), said(report)
        assert report.checked.blocks == node.engine.state.feeds.block_count
        assert report.checked.content == 2


def test_an_empty_store_is_in_order() -> None:
    made = HttpNode()
    assert verify(made.store, made.did, deep=True).ok


def test_somebody_elses_store(node: HttpNode) -> None:
    assert "belongs to" in said(verify(node.store, MEMBER, deep=False))


def test_a_flipped_bit_in_content(node: HttpNode) -> None:
    cid = Cid.of(b"kept", RAW)
    report = tamper(node, {keyspace.block(cid): b"kepT"})
    assert said(report) == f"block {cid}: its bytes have another name"


def test_content_that_lost_its_end(node: HttpNode) -> None:
    report = tamper(node, {keyspace.block(Cid.of(b"kept", RAW)): b"kep"})
    assert "has 3 bytes where 4 were stored" in said(report)


def test_content_whose_bytes_are_gone(node: HttpNode) -> None:
    report = tamper(node, {keyspace.block(Cid.of(b"kept", RAW)): None})
    assert "its bytes are missing" in said(report)


def test_changes_of_content_that_stand_in_each_others_place(node: HttpNode) -> None:
    (one, first), (other, second) = node.store.scan(keyspace.CONTENT_CHANGE)
    report = tamper(node, {one: second, other: first})
    assert said(report).count("which did not last change as this number") == 2


def test_a_block_that_nothing_keeps(node: HttpNode) -> None:
    stray = Cid.of(b"stray", RAW)
    assert "is neither in a feed, nor content" in said(tamper(node, {keyspace.block(stray): b"stray"}))


def test_a_fork_kept_as_evidence_is_no_finding(node: HttpNode) -> None:
    ours = parse_block(node.store.get(keyspace.block(journal_cid(node, 1))) or b"")
    twin = sign_block(replace(ours.header, time=node.now()), ours.records, signer_of(1))
    assert tamper(node, {keyspace.block(twin.cid): twin.data}).ok


def test_a_missing_block_is_told_wherever_it_is_missed(node: HttpNode) -> None:
    cid = journal_cid(node, 2)
    report = tamper(node, {keyspace.block(cid): None})
    assert f"journal 2: block {cid} is missing" in said(report)
    assert "is listed as a signed block" in said(report)
    assert "were not compared" in said(report)


def test_a_block_that_others_link_to_and_nobody_can_read(node: HttpNode) -> None:
    report = tamper(node, {keyspace.block(journal_cid(node, 2)): b"\xff"})
    assert "is not a block" in said(report)
    assert "were not compared" in said(report)


def test_entries_that_are_gone(node: HttpNode) -> None:
    cid = journal_cid(node, 2)
    gone = {
        keyspace.journal_entry(2): "entries are missing",
        keyspace.feed_entry(node.did, 2): "is not in its author's feed",
        keyspace.block_meta(cid): "is not listed as having come",
        keyspace.event_type("ledger.transferred") + keyspace.u64(2): "does not know its",
    }
    for key, expected in gone.items():
        value = node.store.get(key)
        assert value is not None
        assert expected in said(tamper(node, {key: None}))
        assert tamper(node, {key: value}).ok


def test_references_that_pruning_would_miss(node: HttpNode) -> None:
    """A job's output, and what content links to."""
    target = Cid.of(b"kept", RAW)
    node.ask(PutContent(encode({"see": target}), DAG_CBOR, pinned=True, lifetime_ms=None))
    keys = [key for key, _ in node.store.scan(keyspace.REFERENCE)]
    assert len(keys) == 2
    for key in keys:
        assert "is not known to refer to" in said(tamper(node, {key: None}))
        assert tamper(node, {key: b""}).ok


def test_an_index_entry_too_many(node: HttpNode) -> None:
    report = tamper(node, {keyspace.event_type("mesh.rollback") + keyspace.u64(0): b""})
    assert "index of events: has" in said(report)


def test_an_index_entry_of_who_was_admitted_that_leads_nowhere(node: HttpNode) -> None:
    """Who counts is looked up there, before anything is replayed."""
    assert "forks" in said(tamper(node, {keyspace.event_type("federation.node_admitted") + keyspace.u64(999): b""}))


def test_an_index_of_jobs_that_does_not_lead_to_what_the_journal_tells(node: HttpNode) -> None:
    store = node.store
    entry, receipt, request = (
        next(store.scan(prefix)) for prefix in (keyspace.JOB_EVENT, keyspace.RECEIPT, keyspace.JOB_CORRELATION)
    )
    stray = entry[0][:-1] + b"\xff"
    for changed, expected in (
        ({entry[0]: None}, "the index of jobs does not know its"),
        ({receipt[0]: b"x"}, "or not as such"),
        ({stray: b""}, "index of jobs: has"),
        ({request[0]: b"another"}, "names other requests"),
        ({request[0]: None}, "names other requests"),
    ):
        report = tamper(node, changed)
        assert expected in said(report)
        assert tamper(node, dict((entry, receipt, request)) | {stray: None}).ok


def test_a_block_that_somebody_else_signed(node: HttpNode) -> None:
    last = node.engine.state.last_arrival
    ours = parse_block(node.store.get(keyspace.block(journal_cid(node, last))) or b"")
    forged = sign_block(replace(ours.header, author=MEMBER), ours.records, signer_of(9))
    data = forged.data.replace(MEMBER.text.encode(), node.did.text.encode())
    cid = Cid.of(data, 0x71)
    meta = node.store.get(keyspace.block_meta(ours.cid))
    report = tamper(
        node,
        {
            keyspace.block(ours.cid): None,
            keyspace.block_meta(ours.cid): None,
            keyspace.block(cid): data,
            keyspace.block_meta(cid): meta,
            keyspace.journal_entry(last): cid.data,
            keyspace.feed_entry(node.did, ours.header.sequence): cid.data,
        },
    )
    assert "is not signed by its author" in said(report)


def test_a_record_its_author_was_not_entitled_to(node: HttpNode) -> None:
    """Signed, linked and named as it should be; only replaying the rules shows that the mana was never there."""
    last = node.engine.state.last_arrival + 1
    head = node.engine.state.feeds.heads[node.did]
    paid = parse_block(node.store.get(keyspace.block(journal_cid(node, 2))) or b"")
    (record,) = [r for r in paid.records if r["type"] == "ledger.transferred"]
    greedy = record | {"event": record["event"] | {"amount": 10**9, "number": 99}}
    header = replace(paid.header, sequence=head.sequence + 1, previous=head.cid, parents=(), time=node.now())
    block = sign_block(header, (greedy,), signer_of(1))
    clock = dict(head.clock) | {node.did: header.sequence + 1}
    change = Batch()
    blocks.put_block(change, block, last, clock, ("ledger.transferred",))
    node.store.commit(change, node.store.claim())
    report = verify(node.store, node.did, deep=True)
    assert "is against the rules" in said(report)
    assert "the state is as of" in said(report)


def test_a_wrong_clock(node: HttpNode) -> None:
    cid = journal_cid(node, 3)
    meta = blocks.get_meta(node.store, cid)
    assert meta is not None
    change = Batch()
    block = parse_block(node.store.get(keyspace.block(cid)) or b"")
    blocks.put_block(change, block, meta.arrival, {node.did: 3, MEMBER: 1}, ())
    node.store.commit(change, node.store.claim())
    assert "its stored clock is not that of its links" in said(verify(node.store, node.did, deep=True))


def test_another_blocks_place(node: HttpNode) -> None:
    cid, other = journal_cid(node, 3), journal_cid(node, 2)
    meta = blocks.get_meta(node.store, cid)
    assert meta is not None
    theirs = blocks.get_meta(node.store, other)
    assert theirs is not None
    turned = encode_ordered(shape_of(BlockMeta).to_map(replace(meta, place=theirs.place)))
    assert "a place that is not its own" in said(tamper(node, {keyspace.block_meta(cid): turned}))


def test_an_index_entry_that_says_something(node: HttpNode) -> None:
    entry = keyspace.event_type("ledger.transferred") + keyspace.u64(2)
    assert "or not as such" in said(tamper(node, {entry: b"x"}))


def _changed_rows(node: HttpNode) -> dict[str, Batch]:
    """For each table, a change of one row that a thief or a bug might make."""
    store = node.store
    change: dict[str, Batch] = {name: Batch() for name in ("account", "supply", "job", "hold", "head", "member")}
    key, account = next(rows.ACCOUNTS.rows(store))
    rows.ACCOUNTS.put(change["account"], key, replace(account, balance=account.balance + 1))
    rows.SUPPLY.put(change["supply"], b"-", Supply(minted=1, available=1))
    key, job = next(rows.JOBS.rows(store))
    rows.JOBS.put(change["job"], key, replace(job, reason="another"))
    key, _ = next(rows.HOLDS.rows(store))
    rows.HOLDS.put(change["hold"], key, None)
    key, head = next(rows.HEADS.rows(store))
    rows.HEADS.put(change["head"], key, replace(head, sequence=head.sequence + 1))
    key, member = next(rows.MEMBERS.rows(store))
    rows.MEMBERS.put(change["member"], MEMBER.public_key, replace(member, node=MEMBER))
    return change


@pytest.mark.parametrize("table", ["account", "supply", "job", "hold", "head", "member"])
def test_rows_that_the_journal_does_not_give(node: HttpNode, table: str) -> None:
    node.store.commit(_changed_rows(node)[table], node.store.claim())
    assert verify(node.store, node.did, deep=False).ok
    report = verify(node.store, node.did, deep=True)
    assert [finding.where.split()[1] for finding in report.findings] == [table]


def test_all_findings_are_told_not_the_first(node: HttpNode) -> None:
    changes = _changed_rows(node)
    for change in changes.values():
        node.store.commit(change, node.store.claim())
    assert verify(node.store, node.did, deep=True).findings_total == len(changes)


def test_rows_that_cannot_be_read_are_findings_not_crashes(node: HttpNode) -> None:
    projections = [key for key, _ in node.store.scan(keyspace.PROJECTION)]
    report = tamper(node, dict.fromkeys(projections, b"\xff"))
    assert report.findings_total >= len(projections) - 1  # all but the mark of a receipt that was taken
    metas = [key for key, _ in node.store.scan(keyspace.BLOCK_META)]
    contents = [key for key, _ in node.store.scan(keyspace.CONTENT_META)]
    assert not tamper(node, dict.fromkeys([*metas, *contents], b"\xff")).ok


def test_any_change_of_any_value_is_noticed(node: HttpNode) -> None:
    """Every stored value that verification speaks for, one at a time, with its last bit turned."""
    watched = (b"b", b"j", b"f", b"m", b"p")
    for key, value in [(k, v) for prefix in watched for k, v in node.store.scan(prefix) if v]:
        if key.startswith(keyspace.projection("receipt_taken")):
            continue
        turned = value[:-1] + bytes([value[-1] ^ 1])
        assert not tamper(node, {key: turned}).ok, key
        assert tamper(node, {key: value}).ok


def test_who_walks_over_the_blocks_elsewhere_and_hands_on_no_bytes_has_the_same_found(node: HttpNode) -> None:
    target, loose = Cid.of(b"kept", RAW), encode({"no": "block"})
    linking = encode({"to": target})
    node.ask(PutContent(linking, DAG_CBOR, pinned=True, lifetime_ms=None))

    def found() -> tuple[Report, Report]:
        there = verify(
            node.store,
            node.did,
            deep=True,
            walk=lambda reader: (block._replace(data=None) for block in named_blocks(reader)),
        )
        return verify(node.store, node.did, deep=True), there

    here, there = found()
    assert here == there
    assert here.ok
    (reference,) = [key for key, _ in node.store.scan(keyspace.REFERENCE) if Cid.of(linking, DAG_CBOR).data in key]
    tamper(node, {reference: None, keyspace.block(Cid.of(loose, DAG_CBOR)): loose, keyspace.block(target): b"kepT"})
    here, there = found()
    assert here == there
    assert here.findings_total == 3


def test_what_is_wrong_with_names_is_told_before_what_is_wrong_with_the_journal(node: HttpNode) -> None:
    report = tamper(node, {keyspace.block(Cid.of(b"kept", RAW)): b"kepT", keyspace.journal_entry(1): None})
    assert "have another name" in report.findings[0].what
    assert report.findings[1].where == "journal 2"
