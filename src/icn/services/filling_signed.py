"""The signed half of filling a store: every block taken by the rules, and the rows of the state that they lead to.

A stage of its own (`stage`), because it takes as long as all of the other half (`filling`) and needs nothing of it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from icn.services.archive_check import Items
from icn.services.archive_proof import ReplayRefused, require_chosen, require_reached
from icn.services.beginning import Beginning, Loading
from icn.services.content_writing import Commits
from icn.services.filling import LOAD_BYTES, SignedFilled
from icn.services.intake import Intake
from icn.services.restore_plan import Plan
from icn.services.restore_writing import SignedWriting
from icn.stores.archive import ArchiveDamaged
from icn.stores.kv import Batch


class SignedFilling:
    """Satisfies `stage.Stage`: takes the items of a chain of archives in order, and None where one of them ends.

    Raises `ArchiveDamaged` for the first thing that is against the rules.
    """

    def __init__(self, planned: Plan, loading: Loading) -> None:
        store = Beginning(loading)
        self._plan = planned
        self._intake = Intake.begin(planned.newest, store)
        self._commits = Commits(store, store.load, commit_bytes=LOAD_BYTES, ending=self._save)
        self._writing = SignedWriting(planned, self._intake, self._commits, is_checked=False)
        self._place = 0
        """Of the archive under way, in the chain."""
        self._writing.begin_link(planned.chain[0])

    def take(self, items: Items | None) -> None:
        """See `Stage`."""
        link = self._plan.chain[self._place]
        with self._telling():
            if items is not None:
                self._writing.take(items)
                return
            require_reached(self._intake.state, link.manifest, may_be_ahead=False)
        if self._place + 1 < len(self._plan.chain):
            self._place += 1
            self._writing.begin_link(self._plan.chain[self._place])

    def end(self) -> SignedFilled:
        """See `Stage`."""
        with self._telling():
            require_chosen(self._intake)
        self._commits.commit()
        done = replace(self._writing.done, commits=self._commits.count)
        return SignedFilled(done, self._intake.state.last_arrival)

    def abandon(self) -> None:
        """See `Stage`. What was wrong was told when it was taken."""

    def _save(self, batch: Batch) -> None:
        self._writing.save(batch)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Of the archive under way."""
        try:
            yield
        except ReplayRefused as refused:
            name = self._plan.chain[self._place].examined.archive.name
            raise ArchiveDamaged(name, f"{refused.where}: {refused.what}") from refused
