"""The contract of `icn.stores.kv`, run against every backend in `support.stores`."""

import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from icn.kernel.errors import Invalid
from icn.stores.kv import (
    GET_MANY_MAX,
    KEY_BYTES_MAX,
    SNAPSHOTS_OPEN_MAX,
    VALUE_BYTES_MAX,
    Batch,
    Fence,
    FenceLost,
    KeyValueStore,
    StoreInUse,
    StoreUnavailable,
)
from support import postgres
from support.stores import BACKENDS, Backend, batch, child_environment, fill

DURABLE = [backend for backend in BACKENDS if backend.durable]
LOCKING = [backend for backend in DURABLE if not backend.shared]


@pytest.fixture(params=BACKENDS, ids=str)
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


@pytest.fixture
def store(backend: Backend, tmp_path: Path) -> Iterator[KeyValueStore]:
    opened = backend.open(tmp_path)
    yield opened
    opened.close()


def keys(pairs: Iterator[tuple[bytes, bytes]]) -> list[bytes]:
    return [key for key, _ in pairs]


# Reading.


def test_a_missing_key_reads_as_none(store):
    fill(store, {b"b": b"1"})
    assert store.get(b"a") is None
    assert store.get(b"bb") is None


def test_many_keys_are_answered_in_the_order_asked_and_missing_ones_as_none(store):
    fill(store, {bytes([n]): bytes([n]) * n for n in range(200)})
    asked = [bytes([n]) for n in (7, 3, 250, 3, 0, 199)]
    expected = [b"\x07" * 7, b"\x03" * 3, None, b"\x03" * 3, b"", b"\xc7" * 199]
    assert store.get_many(asked) == expected
    assert store.get_many([]) == []
    many = [bytes([n % 200]) for n in range(GET_MANY_MAX)]
    assert store.get_many(many) == [store.get(key) for key in many]
    snapshot = store.snapshot()
    fill(store, {b"\x07": b"new"})
    assert snapshot.get_many(asked) == expected
    snapshot.close()
    assert store.get_many(asked)[0] == b"new"
    with pytest.raises(StoreUnavailable):
        snapshot.get_many(asked)


def test_an_empty_value_is_a_value(store):
    fill(store, {b"k": b""})
    assert store.get(b"k") == b""
    assert list(store.scan(b"")) == [(b"k", b"")]


def test_order_is_bytewise_unsigned_and_shorter_first(store):
    ordered = [b"\x00", b"\x00\x00", b"\x01", b"a", b"a\x00", b"aa", b"b", b"\x7f", b"\x80", b"\xff", b"\xff\x00"]
    fill(store, {key: key for key in reversed(ordered)})
    assert keys(store.scan(b"")) == ordered
    assert keys(store.scan_down(b"")) == ordered[::-1]


PREFIXED = [b"a", b"a\xfe", b"a\xff", b"a\xff\x00", b"a\xff\xff", b"a\xff\xff\xff", b"b", b"\xfe", b"\xff", b"\xff\xff"]


@pytest.mark.parametrize("prefix", [b"", b"a", b"a\xfe", b"a\xff", b"a\xff\xff", b"b", b"c", b"\xff", b"\xff\xff\xff"])
def test_a_prefix_selects_exactly_the_keys_that_begin_with_it(store, prefix):
    fill(store, {key: b"v" + key for key in PREFIXED})
    expected = [(key, b"v" + key) for key in sorted(PREFIXED) if key.startswith(prefix)]
    assert list(store.scan(prefix)) == expected
    assert list(store.scan_down(prefix)) == expected[::-1]


def test_after_and_before_exclude_themselves_and_need_not_exist_nor_bear_the_prefix(store):
    fill(store, dict.fromkeys(PREFIXED, b""))
    bounds = [*PREFIXED, b"", b"\x00", b"Z", b"a\x00", b"a\xff\x00\x00", b"bz", b"\xff\xff\xff"]
    for prefix, bound in itertools.product([b"", b"a", b"a\xff", b"b", b"\xff"], bounds):
        selected = [key for key in sorted(PREFIXED) if key.startswith(prefix)]
        assert keys(store.scan(prefix, after=bound)) == [key for key in selected if key > bound]
        assert keys(store.scan_down(prefix, before=bound)) == [key for key in selected if key < bound][::-1]


def test_a_scan_crosses_pages_without_losing_or_repeating_a_key(store):
    pairs = {b"p%06d" % number: b"%d" % number for number in range(3000)}
    fill(store, {**pairs, b"o": b"", b"q": b""})
    assert list(store.scan(b"p")) == sorted(pairs.items())
    assert list(store.scan_down(b"p")) == sorted(pairs.items(), reverse=True)
    assert keys(store.scan(b"p", after=b"p001500")) == [b"p%06d" % number for number in range(1501, 3000)]
    assert keys(store.scan_down(b"p", before=b"p001500")) == [b"p%06d" % number for number in range(1499, -1, -1)]


def test_a_scan_may_stop_anywhere_and_leaves_the_store_usable(store):
    fill(store, {b"k%04d" % number: b"v" for number in range(2000)})
    fence = store.claim()
    for turn in range(100):  # more than any engine has connections, cursors or transactions to leak
        assert next(store.scan(b"k"))[0] == b"k0000"
        assert next(store.scan_down(b"k"))[0] == b"k1999"
        abandoned = store.scan(b"k", after=b"k0100")
        assert next(abandoned)[0] == b"k0101"
        store.commit(batch({b"turn": b"%d" % turn}), fence)
    assert store.get(b"turn") == b"99"


def test_a_scan_on_the_store_survives_commits_that_come_while_it_runs(store):
    fill(store, {b"k%04d" % number: b"v" for number in range(0, 2000, 2)})
    fence = store.claim()
    seen = []
    for turn, (key, _value) in enumerate(store.scan(b"k")):
        seen.append(key)
        if turn % 100 == 0:
            store.commit(batch({key: None, b"k%04d" % (turn * 2 + 1): b"new"}), fence)
    assert seen == sorted(set(seen))
    assert {b"k%04d" % number for number in range(0, 2000, 2)} <= set(seen)


# Writing.


def test_the_last_operation_on_a_key_counts(store):
    made = Batch()
    made.put(b"a", b"1")
    made.put(b"a", b"2")
    made.put(b"b", b"1")
    made.delete(b"b")
    made.delete(b"c")
    made.put(b"c", b"1")
    store.commit(made, store.claim())
    assert list(store.scan(b"")) == [(b"a", b"2"), (b"c", b"1")]


def test_deleting_a_missing_key_changes_nothing(store):
    fill(store, {b"b": b"1"})
    store.commit(batch({b"a": None, b"bb": None, b"c": None}), store.claim())
    assert list(store.scan(b"")) == [(b"b", b"1")]


def test_keys_and_values_out_of_bounds_are_refused_and_those_at_the_bounds_kept(store):
    made = Batch()
    for key, value in [(b"", b"v"), (b"k" * (KEY_BYTES_MAX + 1), b"v"), (b"k", bytes(VALUE_BYTES_MAX + 1))]:
        with pytest.raises(Invalid):
            made.put(key, value)
    assert len(made) == 0
    longest = b"\xff" * KEY_BYTES_MAX
    fill(store, {longest: b"long", b"\x00": b"short"})
    assert list(store.scan(longest)) == [(longest, b"long")]
    assert keys(store.scan(b"", after=b"\xff" * (KEY_BYTES_MAX - 1))) == [longest]


@pytest.mark.slow
def test_the_largest_values_come_back_whole_and_can_be_replaced_and_deleted(store):
    fence = store.claim()
    large = {b"l%d" % number: bytes((number,)) * VALUE_BYTES_MAX for number in range(3)}
    store.commit(batch(dict(large)), fence)
    assert all(store.get(key) == value for key, value in large.items())
    assert [(key, len(value)) for key, value in store.scan(b"l")] == [(key, VALUE_BYTES_MAX) for key in large]
    store.commit(batch({b"l0": b"small", b"l1": None}), fence)
    assert keys(store.scan(b"")) == [b"l0", b"l2"]
    assert store.get(b"l0") == b"small"


@pytest.mark.slow
def test_a_batch_of_20000_operations_is_applied_whole(store):
    pairs = {b"%05d" % (number * 7919 % 20_000): b"%d" % number for number in range(20_000)}
    fill(store, pairs)
    assert list(store.scan(b"")) == sorted(pairs.items())
    store.commit(batch({key: None for key in pairs if key[-1] != ord("7")}), store.claim())
    assert list(store.scan(b"")) == sorted((key, value) for key, value in pairs.items() if key[-1] == ord("7"))


def test_readers_in_other_threads_never_see_half_of_a_commit(store):
    """A writer keeps two keys, far apart, equal; readers look at both through snapshots."""
    between = {b"m%04d" % number: b"" for number in range(1000)}
    fill(store, {**between, b"a": b"0", b"z": b"0"})
    fence = store.claim()
    torn: list[tuple[bytes | None, bytes | None]] = []
    looks = [0, 0]
    done = threading.Event()

    def look(who: int) -> None:
        while not done.is_set():
            snapshot = store.snapshot()
            pair = snapshot.get(b"a"), snapshot.get(b"z")
            snapshot.close()
            looks[who] += 1
            if pair[0] != pair[1]:
                torn.append(pair)

    readers = [threading.Thread(target=look, args=(who,)) for who in range(2)]
    for reader in readers:
        reader.start()
    turn = 0
    while turn < 100 or (min(looks) < 20 and turn < 20_000):
        turn += 1
        store.commit(batch({b"a": b"%d" % turn, b"z": b"%d" % turn}), fence)
    done.set()
    for reader in readers:
        reader.join()
    assert not torn
    assert min(looks) >= 20


# Snapshots.


def test_a_snapshot_keeps_showing_its_commit(store):
    before = {b"k%03d" % number: b"old" for number in range(600)}
    fill(store, before)
    snapshot = store.snapshot()
    store.commit(batch({**dict.fromkeys(before), b"k100": b"new", b"k9999": b"new"}), store.claim())
    assert snapshot.get(b"k100") == b"old"
    assert snapshot.get(b"k9999") is None
    assert list(snapshot.scan(b"k")) == sorted(before.items())
    assert list(snapshot.scan_down(b"k")) == sorted(before.items(), reverse=True)
    snapshot.close()
    assert list(store.scan(b"")) == [(b"k100", b"new"), (b"k9999", b"new")]
    newer = store.snapshot()
    assert list(newer.scan(b"")) == [(b"k100", b"new"), (b"k9999", b"new")]
    newer.close()


def test_a_snapshot_is_fixed_when_it_is_taken_not_when_it_is_first_read(store):
    fill(store, {b"k": b"old"})
    snapshot = store.snapshot()
    fill(store, {b"k": b"new"})
    assert snapshot.get(b"k") == b"old"
    snapshot.close()


def test_snapshots_of_several_commits_live_side_by_side(store):
    fence = store.claim()
    snapshots = []
    for turn in range(10):
        store.commit(batch({b"k": b"%d" % turn, b"k%d" % turn: b""}), fence)
        snapshots.append(store.snapshot())
    for turn, snapshot in reversed(list(enumerate(snapshots))):
        assert snapshot.get(b"k") == b"%d" % turn
        assert len(list(snapshot.scan(b"k"))) == turn + 2
        snapshot.close()


def test_as_many_snapshots_as_promised_can_be_open_and_be_taken_again(store):
    fill(store, {b"k": b"v"})
    for _round in range(2):
        snapshots = [store.snapshot() for _ in range(SNAPSHOTS_OPEN_MAX)]
        assert [snapshot.get(b"k") for snapshot in snapshots] == [b"v"] * SNAPSHOTS_OPEN_MAX
        for snapshot in snapshots:
            snapshot.close()


def test_a_snapshot_can_be_read_and_closed_in_another_thread(store):
    fill(store, {b"k%03d" % number: b"v" for number in range(500)})
    snapshot = store.snapshot()
    pairs = snapshot.scan(b"k")
    assert next(pairs)[0] == b"k000"
    seen = []

    def elsewhere() -> None:
        seen.extend(pairs)
        seen.append(snapshot.get(b"k000"))
        snapshot.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(seen) == 500
    assert seen[-1] == b"v"


def test_a_closed_snapshot_answers_no_more(store):
    snapshot = store.snapshot()
    snapshot.close()
    for call in (lambda: snapshot.get(b"k"), lambda: list(snapshot.scan(b"")), lambda: list(snapshot.scan_down(b""))):
        with pytest.raises(StoreUnavailable):
            call()
    with pytest.raises(StoreUnavailable):
        snapshot.close()


# Fencing.


def test_each_claim_is_newer_than_the_one_before(store):
    first, second = store.claim(), store.claim()
    assert second == first + 1


def test_an_older_fence_writes_nothing(store):
    old = store.claim()
    store.commit(batch({b"k": b"old"}), old)
    new = store.claim()
    with pytest.raises(FenceLost):
        store.commit(batch({b"k": b"late", b"l": b"late"}), old)
    with pytest.raises(FenceLost):
        store.commit(Batch(), old)
    assert list(store.scan(b"")) == [(b"k", b"old")]
    store.commit(batch({b"k": b"new"}), new)
    assert store.get(b"k") == b"new"


def test_a_fence_that_was_never_given_writes_nothing(store):
    with pytest.raises(FenceLost):
        store.commit(batch({b"k": b"v"}), Fence(0))
    with pytest.raises(FenceLost):
        store.commit(batch({b"k": b"v"}), Fence(store.claim() + 1))
    assert store.get(b"k") is None


def test_the_epoch_is_not_among_the_keys(store):
    store.claim()
    assert list(store.scan(b"")) == []


# Closing, and what survives it.


def test_a_closed_store_answers_no_more(backend, tmp_path):
    store = backend.open(tmp_path)
    fence = store.claim()
    store.close()
    calls = (
        lambda: store.get(b"k"),
        lambda: store.get_many([b"k"]),
        lambda: list(store.scan(b"")),
        lambda: list(store.scan_down(b"")),
        store.snapshot,
        store.claim,
        lambda: store.commit(batch({b"k": b"v"}), fence),
        store.close,
    )
    for call in calls:
        with pytest.raises(StoreUnavailable):
            call()


def test_the_properties_are_what_the_suite_was_told(backend, store):
    properties = store.properties
    assert (properties.name, properties.durable, properties.shared) == (backend.name, backend.durable, backend.shared)


@pytest.mark.parametrize("backend", DURABLE, ids=str)
def test_what_was_committed_is_there_after_reopening_and_fences_stay_void(backend, tmp_path):
    store = backend.open(tmp_path)
    old = store.claim()
    store.commit(batch({b"a": b"1", b"b": b"2"}), old)
    store.commit(batch({b"a": None, b"c": b""}), old)
    store.close()
    store = backend.open(tmp_path)
    assert list(store.scan(b"")) == [(b"b", b"2"), (b"c", b"")]
    new = store.claim()
    assert new == old + 1
    with pytest.raises(FenceLost):
        store.commit(batch({b"b": b"late"}), old)
    store.close()


WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from support.stores import backend_named, batch
store = backend_named(sys.argv[1]).open(Path(sys.argv[2]))
fence = store.claim()
number = 0
while True:
    store.commit(batch({b"%08d" % number: b"v" * 2000, b"count": b"%d" % number, b"twin": b"%d" % number}), fence)
    print(number, flush=True)
    number += 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", DURABLE, ids=str)
def test_what_was_acknowledged_survives_sigkill_and_no_commit_is_torn(backend, tmp_path):
    with start_child(WRITE_UNTIL_KILLED, backend, tmp_path) as child:
        for line in itertools.islice(child.stdout, 150):
            acknowledged = int(line)
        child.kill()
        for line in child.stdout:
            if line.endswith("\n"):
                acknowledged = int(line)
    store = backend.open(tmp_path)
    count = int(store.get(b"count"))
    assert count >= acknowledged >= 149
    assert store.get(b"twin") == b"%d" % count
    assert keys(store.scan(b"0")) == [b"%08d" % number for number in range(count + 1)]
    store.close()


@pytest.mark.parametrize("backend", DURABLE, ids=str)
def test_a_second_opener_is_refused_or_takes_the_authorship_over(backend, tmp_path):
    store = backend.open(tmp_path)
    old = store.claim()
    if backend.shared:
        second = backend.open(tmp_path)
        new = second.claim()
        with pytest.raises(FenceLost):
            store.commit(batch({b"k": b"late"}), old)
        second.commit(batch({b"k": b"new"}), new)
        assert store.get(b"k") == b"new"
        second.close()
    else:
        with pytest.raises(StoreInUse, match=str(os.getpid())):
            backend.open(tmp_path)
        store.commit(batch({b"k": b"new"}), old)  # the refusal did the holder no harm
    store.close()
    again = backend.open(tmp_path)
    assert again.get(b"k") == b"new"
    again.close()


HOLD = """
import sys
from pathlib import Path
from support.stores import backend_named, fill
store = backend_named(sys.argv[1]).open(Path(sys.argv[2]))
fill(store, {b"holder": b"child"})
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", LOCKING, ids=str)
def test_a_store_held_by_another_process_is_refused_by_its_pid_and_free_once_that_is_killed(backend, tmp_path):
    with start_child(HOLD, backend, tmp_path) as child:
        assert child.stdout.readline() == "open\n"
        with pytest.raises(StoreInUse, match=str(child.pid)):
            backend.open(tmp_path)
        child.kill()
    store = backend.open(tmp_path)
    assert store.get(b"holder") == b"child"
    store.close()


def start_child(script: str, backend: Backend, folder: Path) -> subprocess.Popen[str]:
    if backend.shared:
        postgres.url_in(folder)  # or the child would start a server, which ends with it
    return subprocess.Popen(
        [sys.executable, "-c", script, backend.name, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )


# Everything at once, against a dict.

SMALL_KEYS = st.binary(min_size=1, max_size=3).map(lambda key: bytes(byte & 0x83 for byte in key))
"""Few distinct bytes, among them 00 and 83, so that keys collide and nest."""
OPERATIONS = st.dictionaries(SMALL_KEYS, st.none() | st.binary(max_size=4), max_size=12)


class AgainstADict(RuleBasedStateMachine):
    backend: Backend

    @initialize()
    def open(self):
        self.folder = tempfile.TemporaryDirectory()
        self.store = self.backend.open(Path(self.folder.name))
        self.fence = self.store.claim()
        self.void: list[Fence] = []
        self.model: dict[bytes, bytes] = {}
        self.snapshots = []

    @rule(operations=OPERATIONS)
    def commit(self, operations):
        self.store.commit(batch(operations), self.fence)
        for key, value in operations.items():
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value

    @rule(operations=OPERATIONS)
    def commit_late(self, operations):
        for fence in self.void[-2:]:
            with pytest.raises(FenceLost):
                self.store.commit(batch(operations), fence)

    @rule()
    def claim(self):
        self.void.append(self.fence)
        self.fence = self.store.claim()

    @rule()
    def reopen(self):
        if self.backend.durable:
            self.close_snapshots()
            self.store.close()
            self.store = self.backend.open(Path(self.folder.name))

    @rule()
    def take_snapshot(self):
        if len(self.snapshots) < 4:
            self.snapshots.append((self.store.snapshot(), dict(self.model)))

    @rule(prefix=st.just(b"") | SMALL_KEYS, bound=st.none() | SMALL_KEYS)
    def scan(self, prefix, bound):
        for reader, model in [(self.store, self.model), *self.snapshots]:
            pairs = sorted(pair for pair in model.items() if pair[0].startswith(prefix))
            above = [pair for pair in pairs if bound is None or pair[0] > bound]
            below = [pair for pair in pairs if bound is None or pair[0] < bound]
            assert list(reader.scan(prefix, after=bound)) == above
            assert list(reader.scan_down(prefix, before=bound)) == below[::-1]

    @rule(key=SMALL_KEYS)
    def get(self, key):
        for reader, model in [(self.store, self.model), *self.snapshots]:
            assert reader.get(key) == model.get(key)

    @rule()
    def close_snapshots(self):
        while self.snapshots:
            self.snapshots.pop()[0].close()

    @invariant()
    def holds_what_the_model_holds(self):
        if hasattr(self, "store"):
            assert list(self.store.scan(b"")) == sorted(self.model.items())

    def teardown(self):
        if hasattr(self, "store"):
            self.close_snapshots()
            self.store.close()
            self.folder.cleanup()


@pytest.mark.slow
def test_any_sequence_of_calls_agrees_with_a_dict(backend):
    machine = type("AgainstADict", (AgainstADict,), {"backend": backend})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None, derandomize=True)
    )
