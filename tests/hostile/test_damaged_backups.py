"""Two hundred damaged backups: each is refused with its reason, or restored exactly. None is silently wrong.

The damages are drawn from a seed. What a damage may lead to is judged by the outcome alone: a refusal that leaves the
target as it was, or a target that holds exactly what the backed-up store held.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from icn.adapters.archive.settings import RATIO_MAX
from icn.adapters.storage.memory import MemoryStore
from icn.kernel.errors import Refusal
from icn.kernel.ids import RAW
from icn.services.commands import PutContent
from icn.stores import tar
from icn.stores.archive import MANIFEST, ArchiveKind
from support import builders
from support.archives import Held, back_up, fill_into, held, history, restore_into
from support.held_archive import sealed

pytestmark = pytest.mark.slow

BACKUPS = 100
SEED = 20_261_124
FULL, INCREMENTAL = "0-full.tar.gz", "1-incremental.tar.gz"


@dataclass
class Sample:
    """A chain of two archives, and what it leads to."""

    folder: Path
    expected: Held
    other: Path
    """A full backup of another node of another federation."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    world = history()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icn.services.backup.PART_BYTES", 3_000)  # several parts of each kind
        back_up(world["a"].store, folder / FULL)
        world.done("a", PutContent(b"later" * 300, RAW, pinned=True, lifetime_ms=None))
        world.submit("a")
        world.pass_time(2_000)
        back_up(world["a"].store, folder / INCREMENTAL, kind=ArchiveKind.INCREMENTAL, created="2026-01-02T00:00:00Z")
        other = history(1)
        back_up(other["b"].store, folder / "other.tar.gz")
    return Sample(folder, held(world["a"].store), folder / "other.tar.gz")


# An archive taken apart and put together again


Files = list[tuple[str, bytes]]


def opened(path: Path) -> Files:
    with tarfile.open(path) as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive.getmembers()]


def packed(path: Path, files: Files) -> None:
    data = b"".join(tar.entry_head(n, len(d), 0) + d + tar.padding(len(d)) for n, d in files) + tar.END
    path.write_bytes(gzip.compress(data, 1))


def packed_freely(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def restated(files: Files, **changes: object) -> Files:
    """The manifest made to fit the parts again, with these fields changed: a forger knows how hashes are made."""
    parts = [(name, data) for name, data in files if name != MANIFEST]
    manifest = json.loads(dict(files)[MANIFEST])
    manifest["parts"] = [{"name": n, "size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in parts]
    return [*parts, (MANIFEST, sealed({**manifest, **changes}))]


def some_part(random: Random, files: Files, *folders: str) -> int:
    return random.choice([i for i, (name, _) in enumerate(files) if name.startswith(folders) and name.endswith(".car")])


# Damages: each changes the two archives in a folder of its own


def truncated(random: Random, path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: random.randrange(len(data))])


def flipped(random: Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def flipped_inside(random: Random, path: Path) -> None:
    """Beneath the compression, whose own sums are right."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(gzip.compress(data, 1))


def flipped_and_restated(random: Random, path: Path) -> None:
    """Hashes of parts fit again: names and signatures of blocks must show it."""
    files = opened(path)
    at = some_part(random, files, "blocks/", "content/")
    data = bytearray(files[at][1])
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    files[at] = (files[at][0], bytes(data))
    packed(path, restated(files))


def part_left_out(random: Random, path: Path) -> None:
    files = opened(path)
    del files[random.randrange(len(files) - 1)]
    packed(path, random.choice((files, restated(files))))


def parts_swapped(random: Random, path: Path) -> None:
    """Contents under each other's names."""
    files = opened(path)
    one, other = random.sample(range(len(files) - 1), 2)
    files[one], files[other] = (files[one][0], files[other][1]), (files[other][0], files[one][1])
    packed(path, random.choice((files, restated(files))))


def order_changed(random: Random, path: Path) -> None:
    files = opened(path)
    random.shuffle(files)
    packed(path, files)


def part_twice(random: Random, path: Path) -> None:
    files = opened(path)
    files.insert(random.randrange(len(files) + 1), random.choice(files))
    packed(path, files)


def without_manifest(random: Random, path: Path) -> None:
    packed(path, opened(path)[:-1])


def manifest_changed(random: Random, path: Path) -> None:
    """One claim of the manifest is another."""
    wrong = random.choice(
        (
            {"root": "ab" * 32},
            {"ledger": {"minted": 1, "burned": 0, "accounts": "ab" * 32}},
            {"node": builders.did(9).text},
            {"federation": None},
            {"heads": []},
            {"clock_to": []},
            {"counts": {"blocks": 1, "evidence": 0, "content": 1, "local": 0}},
            {"format": 99},
            {"store": "ab" * 16},
            {"kind": "incremental"},
            {"parent": "ab" * 32},
        )
    )
    packed(path, restated(opened(path), **wrong))


def garbage_behind(random: Random, path: Path) -> None:
    path.write_bytes(path.read_bytes() + random.randbytes(random.randrange(1, 5_000)))


def not_an_archive(random: Random, path: Path) -> None:
    path.write_bytes(random.choice((b"", random.randbytes(5_000), b"\x1f\x8b", gzip.compress(random.randbytes(2_000)))))


def path_traversal(random: Random, path: Path) -> None:
    name = random.choice(("../../evil", "/etc/evil", "blocks/../../evil", "./blocks/000001.car", "identity/../x"))
    files = opened(path)
    files.insert(random.randrange(len(files)), (name, b"evil"))
    packed(path, random.choice((files, restated(files))))


def link_or_device(random: Random, path: Path) -> None:
    members = [(tarfile.TarInfo(name), data) for name, data in opened(path)]
    evil = tarfile.TarInfo(random.choice(("blocks/000002.car", "local/000009.jsonl", MANIFEST)))
    evil.type = random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE))
    evil.linkname = random.choice(("/etc/passwd", "../../x", "blocks/000001.car"))
    members.insert(random.randrange(len(members)), (evil, b""))
    packed_freely(path, members)


def bomb(random: Random, path: Path) -> None:
    """A part that is far longer than it looks."""
    size = random.choice((tar.BLOCK_BYTES * RATIO_MAX * 1_000, 100_000_000))
    files = opened(path)
    files.insert(0, (random.choice(("blocks/000001.car", "local/000001.jsonl", "content/000001.jsonl")), bytes(size)))
    packed(path, files)


def unknown_entry(random: Random, path: Path) -> None:
    files = opened(path)
    files.insert(random.randrange(len(files)), (random.choice(("README", "blocks/x", "blocks/000900.car")), b"x"))
    packed(path, random.choice((files, restated(files))))


DAMAGES: tuple[Callable[[Random, Path], None], ...] = (
    truncated,
    flipped,
    flipped_inside,
    flipped_and_restated,
    part_left_out,
    parts_swapped,
    order_changed,
    part_twice,
    without_manifest,
    manifest_changed,
    garbage_behind,
    not_an_archive,
    path_traversal,
    link_or_device,
    bomb,
    unknown_entry,
)


def damaged(random: Random, sample: Sample, folder: Path, number: int) -> str:
    """A damaged chain in `folder`; the kind of damage."""
    for name in (FULL, INCREMENTAL):
        shutil.copy(sample.folder / name, folder / name)
    kind = number % (len(DAMAGES) + 2)
    if kind == len(DAMAGES):
        (folder / FULL).unlink()
        return "missing link"
    if kind == len(DAMAGES) + 1:
        shutil.copy(sample.other, folder / random.choice((FULL, INCREMENTAL)))
        return "foreign node"
    damage = DAMAGES[kind]
    damage(random, folder / random.choice((FULL, INCREMENTAL)))
    return damage.__name__.replace("_", " ")


WAYS = {"checked, then written": restore_into, "checked as it is written": fill_into}
"""Of an empty store."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[..., object]:
    return WAYS[request.param]


def outcome(way: Callable[..., object], target: MemoryStore, folder: Path) -> str | None:
    """Why the archives in the folder were refused; None when they were restored."""
    try:
        way(target, *sorted(folder.iterdir()))
    except Refusal as refusal:
        return str(refusal)
    return None


def test_a_hundred_damaged_backups(
    sample: Sample, way: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused: Counter[str] = Counter()
    restored: Counter[str] = Counter()
    empty = held(MemoryStore())
    for number in range(BACKUPS):
        folder = tmp_path / str(number)
        folder.mkdir()
        kind = damaged(Random(f"{SEED}/{number}"), sample, folder, number)
        target = MemoryStore()
        reason = outcome(way, target, folder)
        if reason is None:
            assert held(target) == sample.expected, f"{number}, {kind}: restored, and wrong"
            restored[kind] += 1
        else:
            assert reason.strip(), f"{number}, {kind}: refused without a reason"
            assert held(target) == empty, f"{number}, {kind}: refused, and something was written"
            refused[kind] += 1
        shutil.rmtree(folder)
    assert refused.total() + restored.total() == BACKUPS
    assert refused.total() > BACKUPS * 9 // 10
    assert not any((tmp_path / name).exists() for name in ("evil", "x"))
    with capsys.disabled():
        print(f"\n{BACKUPS} damaged backups: {refused.total()} refused, {restored.total()} restored exactly, 0 wrong")
        for kind in sorted(refused | restored):
            print(f"  {kind}: {refused[kind]} refused, {restored[kind]} restored exactly")


def test_the_sample_itself_is_restored(sample: Sample, way: Callable[..., object]) -> None:
    target = MemoryStore()
    way(target, sample.folder / INCREMENTAL, sample.folder / FULL)
    assert held(target) == sample.expected


@pytest.mark.parametrize("what", ["symlink", "symlinked part", "fifo", "unknown file", "long", "foreign folder"])
def test_a_folder_that_is_not_what_a_backup_writes(
    sample: Sample, way: Callable[..., object], tmp_path: Path, what: str
) -> None:
    folder = tmp_path / "folder"
    for name, data in opened(sample.folder / FULL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    part = folder / "blocks/000001.car"
    match what:
        case "symlink":
            (folder / "blocks").rename(tmp_path / "elsewhere")
            (folder / "blocks").symlink_to(tmp_path / "elsewhere")
        case "symlinked part":
            part.rename(tmp_path / "elsewhere.car")
            part.symlink_to(tmp_path / "elsewhere.car")
        case "fifo":
            part.unlink()
            os.mkfifo(part)
        case "unknown file":
            (folder / "notes.txt").write_text("mine")
        case "long":
            with part.open("r+b") as file:
                file.truncate(1 << 40)
        case _:
            (folder / "blocks" / "000001.car.d").mkdir()
    target = MemoryStore()
    with pytest.raises(Refusal):
        way(target, folder)
    assert held(target) == held(MemoryStore())
