"""The batches that a restore is written in."""

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.services import content_writing
from icn.services.beginning import Views, with_views
from icn.services.content_writing import Commits, Restored
from icn.stores.kv import Batch


class Committed:
    """Commits into a store in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self._fence = self.store.claim()
        self.sizes: list[int] = []

    def __call__(self, batch: Batch, views: Views) -> None:
        self.sizes.append(len(batch) + len(views))
        self.store.commit(with_views(batch, views), self._fence)

    def batches(self, *, commit_bytes: int = 10_000) -> Commits:
        return Commits(self.store, self, commit_bytes=commit_bytes, ending=lambda batch: batch.put(b"last", b"row"))


def test_what_is_to_be_committed_is_seen_before_and_after() -> None:
    committed = Committed()
    commits = committed.batches()
    commits.put(b"bytes", b"one")
    commits.put(b"view", memoryview(b"<two>")[1:-1])
    for _ in range(2):
        assert [commits.get(key) for key in (b"bytes", b"view", b"neither")] == [b"one", b"two", None]
        commits.commit()
    assert committed.store.get(b"last") == b"row"
    assert committed.sizes == [3, 1]


def test_a_batch_ends_with_the_bytes_or_the_rows_that_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_writing, "COMMIT_OPERATIONS_MAX", 4)
    committed = Committed()
    commits = committed.batches(commit_bytes=100)
    for number in range(8):
        commits.put(b"%d" % number, memoryview(b"view") if number % 2 else b"bytes")
        commits.grew(4)
    assert (committed.sizes, commits.count) == ([5, 5], 2)
    commits.grew(100)
    assert committed.sizes == [5, 5, 1]


def test_what_is_only_looked_at_can_be_let_go() -> None:
    committed = Committed()
    commits = committed.batches()
    commits.put(b"bytes", b"one")
    commits.let_go()
    assert committed.sizes == []
    commits.put(b"view", memoryview(b"two"))
    commits.let_go()
    assert committed.sizes == [3]


def test_counts_add_up() -> None:
    both = Restored(blocks=1, content=2, commits=3).with_more(Restored(blocks=10, local=5))
    assert both == Restored(blocks=11, content=2, local=5, commits=3)
