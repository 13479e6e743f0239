"""What a node holds can be backed up, and a reader of archives takes it: looked at while rows are there that pass."""

import hashlib

from icn.kernel.errors import Invalid
from icn.services.archive_check import Examination
from icn.services.backup import BackupOrder, draft, entries
from icn.sim.findings import Finding, expect
from icn.stores import archive_parts, keyspace
from icn.stores.archive import ArchiveKind, Part, Reached, read_manifest, write_manifest
from icn.stores.kv import Reader

CHECKER = "backups are restorable"
_ORDER = BackupOrder(ArchiveKind.FULL, None, "2026-01-01T00:00:00.000Z", "icn-sim", "simulated")


def passing_rows_are_restorable(name: str, reader: Reader) -> None:
    """Each row of the node's own dealings is one that an archive may hold."""
    for table in keyspace.LOCAL_TABLES:
        prefix = keyspace.projection(table)
        for key, value in reader.scan(prefix):
            line = archive_parts.write_local_line(table, key[len(prefix) :], value)
            try:
                expect(list(archive_parts.read_local_lines(line)) == [(key, value)], CHECKER, f"{name}: {table}")
            except Invalid as error:
                raise Finding(CHECKER, f"{name}: {error}") from error


def all_of_it_is_restorable(name: str, reader: Reader) -> None:
    """An archive of the whole store is in its form, from the first part to the manifest."""
    manifest, examination = draft(reader, _ORDER), Examination()
    try:
        for entry in entries(reader, manifest, Reached(manifest.since)):
            part = Part(entry.name, len(entry.data), hashlib.sha256(entry.data).hexdigest())
            examination.take(part, entry.data)
        read_manifest(write_manifest(manifest))
    except Invalid as error:
        raise Finding(CHECKER, f"{name}: {error.what}: {error.why}") from error
    for found in examination.findings:
        raise Finding(CHECKER, f"{name}: {found.where}: {found.what}")
