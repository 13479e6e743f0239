"""Backups, retention and drills of a real engine's store, against a folder: what is there then, and what is found."""

import gzip
import shutil
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from icn.adapters.archive.settings import Encryption, Keys
from icn.adapters.backup.local import LocalTarget
from icn.adapters.backup.ports import TargetMissing
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Duration
from icn.node import backup_jobs
from icn.node.backup_jobs import BackupJobs, BackupTerms, Interrupted, Made, NoRoom, NothingToDrill, Proof, _comparisons
from icn.services.answers import Refused
from icn.services.backup import BackupOrder, draft
from icn.services.backup_plan import ArchiveName, Retention, names_of
from icn.services.commands import NoteBackup, NoteDrill, PutContent, RecordBackup
from icn.services.filling import fill
from icn.stores import backups, keyspace, schema
from icn.stores.archive import ArchiveKind
from icn.stores.backup_schedule import Schedule, schedule_in
from icn.stores.kv import Batch
from support import builders
from support.http_node import HttpNode

DAY = 86_400_000
GO_ON = threading.Event()
TERMS = BackupTerms(full_every=3, retention=Retention(2, Duration(0)), encryption=None, keys=None)


@dataclass
class Kept:
    """A node, its jobs, and the folder its backups go to."""

    folder: Path
    terms: BackupTerms = TERMS
    node: HttpNode = field(default_factory=HttpNode)

    def __post_init__(self) -> None:
        self.node.found()
        self.target = self.folder / "target"
        self.scratch = self.folder / "scratch"
        self.jobs = BackupJobs(
            target=LocalTarget(self.target),
            terms=self.terms,
            snapshot=self.node.snapshot,
            did=self.node.did,
            clock=self.node.clock,
            elapsed_ms=lambda: 0,
            scratch=self.scratch,
            program="icn/test",
            backend="memory",
        )
        self._put = 0

    def back_up(self, stopping: threading.Event = GO_ON) -> Made:
        """A backup of something new, recorded, a day after the last; then what may go is deleted."""
        self.node.clock.moment += DAY
        self._put += 1
        self.node.ask(PutContent(f"content {self._put}".encode(), RAW, pinned=True, lifetime_ms=None))
        made = self.jobs.back_up(stopping)
        self.node.ask(NoteBackup(made.finished, made.made, made.store, self.jobs.target.place))
        self.jobs.retain(made.name, GO_ON)
        return made

    def drill(self) -> Proof:
        return self.jobs.drill(GO_ON)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.target.iterdir())

    def kinds(self) -> str:
        """F or i for each archive at the target, oldest first."""
        return "".join("F" if archive.parent is None else "i" for archive, _, _ in self.jobs.listed())

    def scratch_is_empty(self) -> bool:
        return not self.scratch.exists() or list(self.scratch.iterdir()) == []


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_the_first_backup_is_full_and_those_between_full_ones_hold_what_changed(tmp_path):
    kept = Kept(tmp_path, replace(TERMS, retention=Retention(100, Duration(0))))
    for _ in range(5):
        kept.back_up()
    assert kept.kinds() == "FiiFi"
    assert kept.scratch_is_empty()


def test_a_drill_restores_the_whole_chain_and_says_what_it_verified(kept):
    kept.back_up()
    kept.back_up()
    proof = kept.drill()
    assert (proof.finding, proof.archives, proof.content) == (None, 2, 2)
    assert proof.blocks == 1
    assert proof.archive == kept.files()[-1]
    assert kept.scratch_is_empty()


def test_retention_keeps_the_last_ones_and_what_they_stand_on(kept):
    kinds = []
    for _ in range(7):
        kept.back_up()
        kinds.append(kept.kinds())
    assert kinds == ["F", "Fi", "Fii", "FiiF", "Fi", "Fii", "FiiF"]
    assert kept.drill().finding is None


def test_what_is_not_ours_stays(kept):
    kept.target.mkdir()
    foreign = ArchiveName("0" * 16, kept.node.now(), "1" * 16, None, encrypted=False).text
    for name in ("notes.txt", "dag-backup-20260101.tar.gz", foreign):
        (kept.target / name).write_text("theirs")
    for _ in range(7):
        kept.back_up()
    assert {"notes.txt", "dag-backup-20260101.tar.gz", foreign} <= set(kept.files())


def test_when_the_last_backup_is_gone_the_next_is_full(kept):
    made = kept.back_up()
    (kept.target / made.made.archive).unlink()
    kept.back_up()
    assert kept.kinds() == "F"
    assert kept.drill().finding is None


def test_a_backup_that_the_store_does_not_know_of_is_followed_by_one_that_goes_on_from_the_last_it_knows(kept):
    """The node died between the archive's arrival and the record of it."""
    kept.back_up()
    kept.node.clock.moment += DAY
    lost = kept.jobs.back_up(GO_ON)
    made = kept.back_up()
    assert made.name.parent == lost.name.parent
    assert kept.drill().finding is None


@pytest.mark.slow
@pytest.mark.usefixtures("cheap_passphrase")
@pytest.mark.parametrize("encrypted_to", ["passphrase", "recipient"])
def test_encrypted_archives_are_opened_by_their_keys_only(tmp_path, encrypted_to):
    pyrage = pytest.importorskip("pyrage")
    identity = pyrage.x25519.Identity.generate()
    if encrypted_to == "passphrase":
        terms = replace(TERMS, encryption=Encryption(passphrase="p"), keys=Keys(passphrase="p"))
        wrong = replace(terms, keys=Keys(passphrase="q"))
    else:
        recipients = (str(identity.to_public()),)
        terms = replace(TERMS, encryption=Encryption(recipients), keys=Keys((str(identity),)))
        wrong = replace(terms, keys=Keys((str(pyrage.x25519.Identity.generate()),)))
    kept = Kept(tmp_path, terms)
    kept.back_up()
    assert kept.files()[0].endswith(".tar.gz.age")
    assert b"content 1" not in (kept.target / kept.files()[0]).read_bytes()
    assert kept.drill().finding is None
    kept.jobs = replace(kept.jobs, terms=wrong)
    assert "cannot be opened" in (kept.drill().finding or "")


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x40
    path.write_bytes(data)


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_damaged_archive_is_found_wherever_the_damage_is(kept, part):
    made = kept.back_up()
    path = kept.target / made.made.archive
    flip(path, int(path.stat().st_size * part))
    finding = kept.drill().finding
    assert finding is not None
    assert made.made.archive in finding
    assert kept.scratch_is_empty()


def test_an_archive_that_was_cut_is_found(kept):
    made = kept.back_up()
    path = kept.target / made.made.archive
    path.write_bytes(path.read_bytes()[:-200])
    assert kept.drill().finding is not None


def test_a_damaged_full_one_is_found_when_the_newest_is_incremental(kept):
    first = kept.back_up()
    kept.back_up()
    flip(kept.target / first.made.archive, 300)
    assert kept.drill().finding is not None


def test_a_missing_link_is_named(kept):
    first = kept.back_up()
    second = kept.back_up()
    (kept.target / first.made.archive).unlink()
    finding = kept.drill().finding or ""
    assert finding == f"{second.made.archive}: goes on from archive {first.name.id}, which is not at the target"


def test_a_newest_one_that_vanished_is_missed_though_an_older_is_there(kept):
    kept.back_up()
    second = kept.back_up()
    (kept.target / second.made.archive).unlink()
    assert kept.drill().finding == f"{second.made.archive}: was made last and is not at the target any more"


def test_a_drill_is_of_the_backup_made_last_also_after_the_clock_was_set_back(kept):
    kept.node.clock.moment += 400 * DAY
    ahead = kept.back_up()
    assert kept.drill().archive == ahead.made.archive
    kept.node.clock.moment -= 400 * DAY
    assert kept.drill().archive == ahead.made.archive
    newest = kept.back_up()
    assert kept.drill().archive == newest.made.archive
    flip(kept.target / newest.made.archive, 300)
    assert kept.drill().finding is not None


def test_an_older_archive_under_the_name_of_the_newest_is_noticed(kept):
    first = kept.back_up()
    old = (kept.target / first.made.archive).read_bytes()
    for _ in range(3):
        newest = kept.back_up()
    assert newest.name.parent is None
    (kept.target / newest.made.archive).write_bytes(old)
    assert "it was renamed or replaced" in (kept.drill().finding or "")


def test_an_archive_of_another_history_of_this_node_is_noticed(tmp_path):
    """Two stores of one node, as after a restore that lost blocks: the journal knows better than the archive."""
    kept = Kept(tmp_path)
    other = HttpNode()
    other.clock.moment += 1000
    other.found()
    theirs = replace(kept.jobs, snapshot=other.snapshot)
    theirs.back_up(GO_ON)
    assert "is not the one in this node's journal" in (kept.drill().finding or "")


def test_what_a_restore_would_lose_is_found_though_the_archive_is_whole(kept, monkeypatch):
    kept.back_up()

    def losing(planned, filling, *given, **named):
        filled = fill(planned, filling, *given, **named)
        batch = Batch()
        batch.delete(keyspace.block(Cid.of(b"content 1", RAW)))
        filling.load(batch)
        return filled

    monkeypatch.setattr("icn.node.backup_jobs.fill", losing)
    assert "restored, " in (kept.drill().finding or "")


@pytest.mark.parametrize("what", ["root", "heads", "ledger"])
def test_root_heads_and_ledger_are_compared_with_the_manifest(kept, what):
    order = BackupOrder(ArchiveKind.FULL, None, "2026-11-24T00:00:00.000Z", "icn/test", "memory")
    manifest = draft(kept.node.store, order)
    others = {"root": "0" * 64, "heads": (), "ledger": replace(manifest.ledger, minted=manifest.ledger.minted + 1)}
    assert all(alike for _, alike in _comparisons(manifest, kept.node.store, kept.node.store))
    changed = replace(manifest, **{what: others[what]})
    unlike = [text for text, alike in _comparisons(changed, kept.node.store, kept.node.store) if not alike]
    assert len(unlike) == 1
    assert what in unlike[0]


def test_there_is_nothing_to_drill_before_the_first_backup(kept):
    with pytest.raises(NothingToDrill):
        kept.drill()


def test_a_target_that_is_gone_is_a_fault_and_no_finding(kept):
    kept.back_up()
    shutil.rmtree(kept.target)
    kept.jobs = replace(kept.jobs, target=LocalTarget(kept.folder / "mnt" / "target"))
    for job in (kept.drill, kept.back_up):
        with pytest.raises(TargetMissing):
            job()
    assert kept.scratch_is_empty()


def test_the_disk_of_the_node_is_not_filled(kept, monkeypatch):
    kept.back_up()
    monkeypatch.setattr(backup_jobs, "ROOM_BYTES_MIN", 1 << 60)
    before = kept.files()
    for job in (kept.drill, kept.back_up):
        with pytest.raises(NoRoom, match="make room on this disk"):
            job()
    assert kept.files() == before
    assert kept.scratch_is_empty()


def test_a_node_that_stops_gives_up_and_leaves_nothing(kept):
    kept.back_up()
    stopping = threading.Event()
    stopping.set()
    before = kept.files()
    with pytest.raises(Interrupted):
        kept.back_up(stopping)
    with pytest.raises(Interrupted):
        kept.jobs.drill(stopping)
    assert kept.files() == before
    assert kept.scratch_is_empty()


def test_what_a_death_left_in_scratch_and_target_goes_with_the_next_run(kept):
    (kept.scratch / "backup").mkdir(parents=True)
    (kept.scratch / "backup" / "archive.tar.gz.partial").write_bytes(b"half")
    kept.target.mkdir()
    (kept.target / f".icn-{names_of(kept.node.did)}full.tar.gz.x.unfinished").write_bytes(b"half")
    kept.back_up()
    assert kept.scratch_is_empty()
    assert [name for name in kept.files() if "unfinished" in name] == []


def test_what_a_dead_drill_left_does_not_hinder_the_next(kept):
    made = kept.back_up()
    (kept.scratch / "drill").mkdir(parents=True)
    (kept.scratch / "drill" / made.made.archive).write_bytes(b"half")
    (kept.scratch / "drill" / "restored.sqlite").write_bytes(b"half")
    assert kept.drill().finding is None


def test_an_archive_is_plain_tar_that_people_can_read(kept):
    made = kept.back_up()
    assert b"manifest.json" in gzip.decompress((kept.target / made.made.archive).read_bytes())


def test_success_and_proof_are_rows_that_a_restart_reads(kept):
    made = kept.back_up()
    proof = kept.drill()
    kept.node.ask(NoteDrill(proof.proven))
    assert schedule_in(kept.node.store.get) == Schedule(made.made, proof.proven)


@pytest.mark.parametrize("by_hand", [False, True], ids=["scheduled", "by hand"])
def test_a_backup_that_arrives_after_the_store_became_another_one_is_not_gone_on_from(kept, by_hand):
    """The upload of what was before may take hours, and the numbers of what comes after begin anew."""
    made = kept.jobs.back_up(GO_ON)
    batch = Batch()
    schema.renew_store_id(kept.node.store.get, batch, b"put back")
    backups.forget_finished(batch)
    kept.node.store.commit(batch, kept.node.engine.fence)
    by_node = NoteBackup(made.finished, made.made, made.store, kept.jobs.target.place)
    told = RecordBackup(made.finished, made.store) if by_hand else by_node
    assert isinstance(refused := kept.node.ask(told), Refused)
    assert refused.code == "backup.other_store"
    assert backups.finished_backups(kept.node.store) == ()
    kept.back_up()
    assert kept.kinds() == "FF"


def test_a_disk_that_is_not_mounted_any_more_gets_no_backup_in_its_place(tmp_path):
    """What was mounted leaves an empty folder behind, in which the target's own could be made."""
    mounted, disk = tmp_path / "mnt", tmp_path / "disk"
    mounted.mkdir()
    kept = Kept(mounted)
    kept.jobs = replace(kept.jobs, scratch=tmp_path / "scratch")
    kept.back_up()
    mounted.rename(disk)
    mounted.mkdir()
    with pytest.raises(TargetMissing, match="mount the disk"):
        kept.back_up()
    for look in (kept.jobs.listed, kept.drill):
        with pytest.raises(TargetMissing, match="mount the disk"):
            look()
    assert list(mounted.iterdir()) == []
    mounted.rmdir()
    disk.rename(mounted)
    kept.back_up()
    assert kept.kinds() == "Fi"


def test_a_new_target_is_made_also_by_a_node_that_has_had_another(kept, tmp_path):
    kept.back_up()
    kept.jobs = replace(kept.jobs, target=LocalTarget(tmp_path / "another"))
    kept.back_up()
    assert kept.kinds() == "F"


def test_what_a_death_left_of_ours_is_cleared_and_what_another_node_is_writing_is_not(kept):
    kept.target.mkdir()
    left, theirs = (f".icn-{names_of(node)}full.tar.gz.x.unfinished" for node in (kept.node.did, builders.did(99)))
    for name in (left, theirs):
        (kept.target / name).write_bytes(b"half")
    kept.back_up()
    assert [name for name in kept.files() if name.startswith(".")] == [theirs]
