"""Content life: what is asked for is kept, what nobody needs goes, in slices, and what is said about it is true."""

from dataclasses import replace

import pytest

from icn.kernel.encoding import encode
from icn.kernel.errors import Fault
from icn.kernel.ids import DAG_CBOR, RAW, Cid
from icn.kernel.instant import Duration
from icn.kernel.mana import Mana
from icn.services import pruning
from icn.services.answers import Refused
from icn.services.commands import Cancel, FetchContent, PinContent, PruneContent, PutContent
from icn.services.content import CONTENT_GRACE
from icn.services.effects import ContentPruned
from icn.services.inputs import Executed
from icn.services.pruning import RESULTS_KEPT
from icn.stores import blocks, contents, keyspace
from icn.stores.kv import Batch
from support import builders
from support.world import World, federation, terms

DAY = 86_400_000


def put(world: World, data: bytes, codec: int = RAW, *, pin: bool = False, ttl: int | None = None) -> Cid:
    world.done("a", PutContent(data, codec, pinned=pin, lifetime_ms=ttl))
    return Cid.of(data, codec)


def here(world: World, cid: Cid, name: str = "a") -> bool:
    stored = blocks.get_bytes(world[name].store, cid) is not None
    assert stored == (contents.get_content_meta(world[name].store, cid) is not None)
    return stored


def sleep(world: World, span: int) -> None:
    """Time passes at once: nobody in these tests waits for anything."""
    world.clock.time += span


def prune(world: World, *, dry_run: bool = False, rounds: int = 400) -> dict[str, object]:
    token = world.ask("a", PruneContent(dry_run=dry_run))
    world.settle()
    for _ in range(rounds):
        if token in world["a"].answers:
            break
        world.handle("a")
    answer = world["a"].answers[token]
    return answer.body


def test_content_goes_when_its_lifetime_is_over_and_not_before() -> None:
    world = federation("a")
    brief, long = put(world, b"brief", ttl=1000), put(world, b"long", ttl=DAY * 3)
    sleep(world, 999)
    assert prune(world)["removed"] == 0
    sleep(world, 1)
    assert prune(world) == {"dry_run": False, "examined": 2, "removed": 1, "removed_bytes": 5}
    assert (here(world, brief), here(world, long)) == (False, True)


def test_content_without_a_lifetime_is_kept_for_the_grace_time() -> None:
    world = federation("a")
    cid = put(world, b"data")
    sleep(world, CONTENT_GRACE - 1)
    assert prune(world)["removed"] == 0
    sleep(world, 1)
    assert prune(world)["removed"] == 1
    assert not here(world, cid)


def test_what_is_pinned_stays_until_it_is_unpinned() -> None:
    world = federation("a")
    cid = put(world, b"data", pin=True, ttl=1000)
    sleep(world, DAY * 400)
    assert prune(world)["removed"] == 0
    assert world.done("a", PinContent(cid, pinned=False))["pinned"] is False
    assert prune(world)["removed"] == 1
    assert not here(world, cid)


def test_what_kept_content_links_to_stays_and_goes_with_it_in_one_round() -> None:
    world = federation("a")
    leaf = put(world, b"leaf", ttl=1)
    middle = put(world, encode([leaf]), DAG_CBOR, ttl=1)
    top = put(world, encode({"is": middle}), DAG_CBOR, pin=True)
    sleep(world, DAY * 2)
    assert prune(world)["removed"] == 0
    world.done("a", PinContent(top, pinned=False))
    assert prune(world, dry_run=True)["removed"] == 3
    assert all(here(world, cid) for cid in (leaf, middle, top))
    assert prune(world)["removed"] == 3
    assert not any(here(world, cid) for cid in (leaf, middle, top))


def test_what_an_open_job_needs_stays_and_its_result_for_as_long_as_it_says() -> None:
    world = federation("a", node_terms=terms(capacity=0))
    module = put(world, b"\0asm module", ttl=1)
    given = put(world, b"input" * 1000, ttl=1)
    spec = replace(world.spec(within=DAY * 40), module=module, input_cid=given)
    job = world.submit("a", spec, data=b"")
    sleep(world, DAY * 35)
    assert prune(world)["removed"] == 0
    sleep(world, DAY * 10)
    world.pass_time(1000)
    assert job not in world["a"].engine.state.mesh.jobs
    assert prune(world)["removed"] == 0
    sleep(world, RESULTS_KEPT)
    assert prune(world)["removed"] == 2


def test_the_output_of_a_job_stays_as_long_at_its_home_and_its_executor() -> None:
    world = federation("a", "b")
    job = world.submit("a", data=b"hello")
    world.pass_time(5_000)
    outputs = [Cid.of(b"hello", RAW)]
    assert job not in world["a"].engine.state.mesh.jobs
    sleep(world, RESULTS_KEPT - 60_000)
    assert prune(world)["removed"] == 0
    assert here(world, outputs[0])
    sleep(world, 120_000)
    assert prune(world)["removed"] == 1
    assert not here(world, outputs[0])


def test_what_an_executor_gave_for_a_job_that_was_rolled_back_is_not_kept_for_it_and_its_input_is() -> None:
    world = federation("a", "b")
    world["b"].run = lambda _: None
    given = put(world, b"input" * 1000, ttl=1)
    job = world.submit("a", replace(world.spec(), input_cid=given, max_price=Mana(50)), data=b"")
    world.pass_time(1_500)
    world.done("a", Cancel(job))
    output = Cid.of(b"too late", RAW)
    for node in (world["a"], world["b"]):
        for request in node.runs:
            node.inbox.append(Executed(request, replace(builders.outcome(request), output=b"too late")))
    world.settle()
    world.done("a", FetchContent(output))
    sleep(world, CONTENT_GRACE + DAY)
    assert prune(world)["removed"] == 1
    assert not here(world, output)
    assert here(world, given)


def test_what_the_same_batch_refers_to_stays() -> None:
    world = federation("a")
    leaf = put(world, b"leaf", ttl=1)
    sleep(world, DAY)
    token = world.ask("a", PruneContent(dry_run=False))
    world.ask("a", PutContent(encode([leaf]), DAG_CBOR, pinned=True, lifetime_ms=None))
    world.settle()
    world.handle("a")
    assert world["a"].answers[token].body["removed"] == 0
    assert here(world, leaf)


def test_putting_again_adds_and_never_takes_away() -> None:
    world = federation("a")
    cid = put(world, b"data", ttl=DAY * 2)
    first = contents.get_content_meta(world["a"].store, cid)
    put(world, b"data", ttl=1000)
    put(world, b"data")
    assert contents.get_content_meta(world["a"].store, cid) == first
    answer = world.done("a", PutContent(b"data", RAW, pinned=True, lifetime_ms=None))
    assert (answer["new"], answer["pinned"], answer["seconds_left"]) == (False, True, None)
    put(world, b"data")
    meta = contents.get_content_meta(world["a"].store, cid)
    assert meta is not None
    assert meta.pinned
    longer = put(world, b"other", ttl=1000)
    put(world, b"other", ttl=DAY * 3)
    sleep(world, DAY * 2)
    assert prune(world)["removed"] == 0
    assert here(world, longer)


def test_content_whose_time_is_over_is_stored_anew_when_it_is_put_again() -> None:
    world = federation("a")
    cid = put(world, b"data", ttl=1000)
    sleep(world, 2000)
    assert world.done("a", PutContent(b"data", RAW, pinned=False, lifetime_ms=None))["seconds_left"] == DAY // 1000
    assert prune(world)["removed"] == 0
    assert here(world, cid)


def test_a_round_is_done_in_slices_and_counts_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "EXAMINED_PER_BATCH", 3)
    world = federation("a")
    for number in range(10):
        put(world, b"%d" % number, ttl=1)
    sleep(world, DAY)
    token = world.ask("a", PruneContent(dry_run=False))
    world.settle()
    assert token not in world["a"].answers
    assert sum(1 for _ in contents.changes(world["a"].store)) >= 7
    sizes = []
    for _ in range(5):
        world.handle("a")
        sizes.append(sum(1 for _ in contents.changes(world["a"].store)))
    assert world["a"].answers[token].body["removed"] == 10
    assert sizes[-1] == 0


def test_a_slice_that_was_not_committed_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "EXAMINED_PER_BATCH", 2)
    world = federation("a")
    for number in range(6):
        put(world, b"%d" % number, ttl=1)
    sleep(world, DAY)
    token = world.ask("a", PruneContent(dry_run=False))
    world.settle()
    world["a"].store.fail_next = 1
    with pytest.raises(Fault):
        world.handle("a")
    for _ in range(6):
        world.handle("a")
    assert world["a"].answers[token].body["removed"] == 6
    assert sum(1 for _ in contents.changes(world["a"].store)) == 0


def test_the_node_prunes_by_itself_as_often_as_it_is_told() -> None:
    world = federation("a", node_terms=replace(terms(), prune_every=Duration(60_000)))
    cid = put(world, b"data", ttl=1000)
    world.pass_time(50_000, step=10_000)
    assert here(world, cid)
    world.pass_time(20_000, step=10_000)
    assert not here(world, cid)
    noticed = [e for _, e in world.trace if isinstance(e, ContentPruned)]
    assert noticed[0] == ContentPruned(1, 4)


def test_a_signed_block_has_no_pin_and_never_goes() -> None:
    world = federation("a")
    head = next(iter(world["a"].engine.state.feeds.heads.values())).cid
    data = blocks.get_bytes(world["a"].store, head) or b""
    world.done("a", PutContent(data, DAG_CBOR, pinned=False, lifetime_ms=1))
    sleep(world, DAY)
    assert prune(world)["removed"] == 0
    assert blocks.get_bytes(world["a"].store, head) == data
    answer = world.do("a", PinContent(head, pinned=True))
    assert isinstance(answer, Refused)
    assert answer.code == "dag.signed_block"


def test_a_signed_block_that_was_put_before_it_came_as_one_never_goes() -> None:
    world = federation("a", "b")
    world.isolate("a")
    world.settle()
    world.submit("b")
    world.pass_time(3_000)
    head = world["b"].engine.state.feeds.heads[world["b"].did].cid
    data = blocks.get_bytes(world["b"].store, head) or b""
    put(world, data, DAG_CBOR, ttl=1)
    world.link("a", "b")
    world.pass_time(3_000)
    assert blocks.get_meta(world["a"].store, head) is not None
    sleep(world, DAY)
    assert prune(world)["removed"] == 0
    assert blocks.get_bytes(world["a"].store, head) == data


def test_the_evidence_of_a_fork_never_goes_though_somebody_put_its_bytes() -> None:
    world = federation("a")
    cid = put(world, b"\x80", DAG_CBOR, ttl=1)
    batch = Batch()
    batch.put(keyspace.evidence(cid), b"")
    world["a"].store.commit(batch, world["a"].engine.fence)
    sleep(world, DAY)
    assert prune(world)["removed"] == 0
    assert here(world, cid)


def test_only_content_that_is_here_can_be_pinned() -> None:
    world = federation("a")
    answer = world.do("a", PinContent(Cid.of(b"nowhere", RAW), pinned=True))
    assert isinstance(answer, Refused)
    assert answer.code == "dag.not_found"
