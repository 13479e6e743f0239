"""`storage rebuild`: what follows from a store's blocks, made again from them where it is not what it should be.

```
 verify ─> differences (services.rebuilding) ─> verify what would be ─> one commit ─> verify what is read back
```

Stopped anywhere, the store is as it was, or mended: there is one commit, and it writes nothing but what the blocks
give. It writes nothing at all where the store as it would be shows anything that it does not show now.
"""

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from icn.cli.endings import Ended, Exit
from icn.cli.offline import open_offline
from icn.cli.progress import progress
from icn.cli.session import Session

if TYPE_CHECKING:
    from icn.kernel.ids import Did
    from icn.services.findings import Report
    from icn.stores.kv import Batch, Reader

BLOCKS_DAMAGED = (
    "Damaged blocks come whole again from peers while the node runs, or from a backup put back into this store with "
    "icn-cli dag restore; then run this again. Where neither helps, give the store up for a backup."
)
FILES_DAMAGED = "The files themselves are damaged: give the store up for a backup, or for an empty one and the peers."


def rebuild(session: Session, given: argparse.Namespace) -> Exit:
    """See the module's docstring."""
    from icn.services import rebuilding
    from icn.services.verify import verify
    from icn.stores.kv import StoreCorrupt
    from icn.stores.overlay import Overlay

    with open_offline(session, given, must_exist=True) as offline, progress(session.world) as line:
        store, did = offline.store, offline.configured_did()
        line.tell("verifying the store")
        before = _verified(store, did)
        line.tell("replaying the blocks")
        try:
            changed = rebuilding.changes(store)
        except StoreCorrupt as fault:
            raise Ended(
                Exit.NOT_FOUND_OR_UNVERIFIED,
                f"{fault}; nothing was changed",
                code=fault.code,
                next_step=BLOCKS_DAMAGED,
            ) from fault
        after = before
        if before is None or len(changed):
            line.tell("verifying the store as it would be")
            after = verify(Overlay(store, changed), did, deep=True)
            _require_no_worse(session, before, after)
        is_dry = getattr(given, "dry_run", False)
        if len(changed) and not is_dry:
            store.commit(changed, store.claim())
            line.tell("verifying what is read back")
            after = _verified(store, did)
    is_whole = after is not None and after.ok
    session.show_own(
        {
            "dry_run": is_dry,
            **_counts(changed),
            "findings_before": "not readable" if before is None else before.findings_total,
            "findings": "not readable" if after is None else after.findings_total,
            "verified": is_whole,
        }
    )
    for finding in () if after is None else after.findings:
        session.world.say(f"{finding.where}: {finding.what}")
    if not is_whole:
        session.world.say(f"next: {FILES_DAMAGED if after is None else BLOCKS_DAMAGED}")
    return Exit.DONE if is_whole else Exit.NOT_FOUND_OR_UNVERIFIED


def _verified(reader: "Reader", did: "Did | None") -> "Report | None":
    """What deep verification finds; None where rows are in no form in which it could be asked."""
    from icn.kernel.errors import Invalid, InvariantBroken
    from icn.services.verify import verify
    from icn.stores.kv import StoreCorrupt

    try:
        return verify(reader, did, deep=True)
    except (Invalid, InvariantBroken, StoreCorrupt):
        return None


def _require_no_worse(session: Session, before: "Report | None", after: "Report") -> None:
    """Raise `Ended` where the store as it would be shows what it does not show now."""
    known = frozenset() if before is None else frozenset(before.findings)
    new = [finding for finding in after.findings if finding not in known]
    if not new:
        return
    for finding in new:
        session.world.say(f"{finding.where}: {finding.what}")
    raise Ended(
        Exit.NOT_FOUND_OR_UNVERIFIED,
        f"with its rows made again from its blocks the store would show {len(new)} findings; nothing was changed",
        code="cli.not_rebuilt",
        next_step=BLOCKS_DAMAGED,
    )


def _counts(changed: "Batch") -> dict[str, int]:
    """How many entries are put right, by what they are."""
    from icn.stores import keyspace

    kinds = {
        keyspace.PROJECTION: "rows",
        keyspace.FEED: "feeds",
        keyspace.BLOCK_META: "places",
        keyspace.EVENT_TYPE: "events",
        keyspace.JOB_EVENT: "jobs",
        keyspace.RECEIPT: "jobs",
        keyspace.JOB_CORRELATION: "jobs",
        keyspace.REFERENCE: "references",
        keyspace.CONTENT_CHANGE: "content",
        keyspace.ABOUT: "content",
    }
    counted = Counter(kinds[key[:1]] for key in changed.operations)
    return {"mended": len(changed), **{name: counted[name] for name in dict.fromkeys(kinds.values()) if counted[name]}}
