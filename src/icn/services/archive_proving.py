"""A deep look at one archive: it is read once, examined as it is read, and its signed blocks are proved meanwhile.

What they must prove is `archive_proof`'s, which is not imported here: it knows every rule of the federation, and may
be needed in another process only.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

from icn.services.ahead import Ahead
from icn.services.archive_check import Archive, Examination, Examined, Items, claimed, examine
from icn.services.findings import Finding
from icn.services.stage import Stage
from icn.stores.archive import MANIFEST, Manifest

Proving = Callable[[Manifest], AbstractContextManager[Stage[tuple[str, Items], Finding | None]]]
"""Begins `archive_proof.Proving`, here or elsewhere."""


def prove(source: Archive, on_bytes: Callable[[int], None], ahead: Ahead, proving: Proving) -> Examined:
    """Examine an archive and prove its blocks; what they do not prove is a finding where there is no other.

    Reads once where the archive says beforehand what it claims to be, else twice. Raises `ArchiveNewer`, and faults of
    the machine.
    """
    claim = claimed(source) or examine(source, on_bytes)
    if claim.manifest is None or claim.findings_total:
        return claim
    run = Examination()
    with proving(claim.manifest) as proof:
        with run.noting(), contextlib.closing(ahead(run.follow(source.entries()))) as entries:
            for part, items in entries:
                if items.signed or items.evidence:
                    proof.take((part.name, Items(signed=items.signed, evidence=items.evidence)))
                on_bytes(part.size)
        if not run.total and run.sha256 != claim.sha256:
            run.note(MANIFEST, "is not what the archive seemed to be, or has changed since")
        wrong = None if run.total else proof.end()
    if wrong is not None:
        run.note(wrong.where, wrong.what)
    return run.examined(source)
