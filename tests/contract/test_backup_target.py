"""The contract of `icn.adapters.backup.ports`, run against a folder and against a bucket of a real S3 service."""

import dataclasses
import io
import itertools
import json
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from node_process import wait_until

from icn.adapters.backup import s3
from icn.adapters.backup.local import UNFINISHED_SUFFIX, LocalTarget
from icn.adapters.backup.opening import open_target
from icn.adapters.backup.ports import (
    READ_BYTES,
    ArchiveMissing,
    BackupTarget,
    TargetDenied,
    TargetFull,
    TargetMissing,
    TargetUnavailable,
)
from icn.adapters.backup.s3 import PART_BYTES_MIN, S3Target
from icn.kernel.errors import Invalid
from icn.kernel.limits import MIB
from icn.protocol.breaker import BreakerSettings
from support.s3_server import BUCKET, Line, S3Server, s3_server

_prefixes = (f"tests/{number}" for number in itertools.count())
NOW_MS_MIN = 1_700_000_000_000


@pytest.fixture(scope="module")
def service() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> BackupTarget:
    if request.param == "local":
        return open_target(tmp_path / "backups")
    return open_target(request.getfixturevalue("service").settings(prefix=next(_prefixes)))


def put(target: BackupTarget, name: str, content: bytes) -> None:
    target.put(name, io.BytesIO(content))


def read(target: BackupTarget, name: str) -> bytes:
    return b"".join(target.read(name))


def names(target: BackupTarget) -> list[str]:
    return [stored.name for stored in target.stored()]


class Breaks(io.RawIOBase):
    """A source that fails after some bytes."""

    def __init__(self, good: int) -> None:
        self._inner = io.BytesIO(bytes(good * 2))
        self._good = good

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._inner.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._inner.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if size < 0 or self._inner.tell() + size > self._good:
            raise ValueError("the source failed")
        return self._inner.read(size)


# What every target promises.


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_what_was_put_is_read(target, size):
    content = random.Random(size).randbytes(size)
    put(target, "a.tar.gz", content)
    assert read(target, "a.tar.gz") == content


def test_a_new_target_is_empty(target):
    assert target.stored() == []
    assert target.clear_unfinished("a") == 0


def test_a_place_that_holds_archives_is_there(target):
    put(target, "a", b"1")
    target.require()
    assert names(target) == ["a"]


def test_archives_are_listed_by_name_with_size_and_time(target):
    for name, size in [("b", 3), ("a", 5), ("B", 7)]:
        put(target, name, bytes(size))
    listed = target.stored()
    assert [(stored.name, stored.size) for stored in listed] == [("B", 7), ("a", 5), ("b", 3)]
    assert all(stored.stored_at > NOW_MS_MIN for stored in listed)


def test_a_source_is_read_from_where_it_stands(target):
    source = io.BytesIO(b"skipped and kept")
    source.seek(12)
    target.put("a", source)
    assert read(target, "a") == b"kept"


def test_the_same_name_again_replaces(target):
    put(target, "a", b"old")
    put(target, "a", b"new and longer")
    assert read(target, "a") == b"new and longer"
    assert names(target) == ["a"]


def test_what_is_deleted_is_gone_and_may_be_deleted_again(target):
    put(target, "a", b"1")
    put(target, "b", b"2")
    target.delete("a")
    target.delete("a")
    assert names(target) == ["b"]


def test_reading_what_is_not_there_says_so(target):
    put(target, "b", b"2")
    with pytest.raises(ArchiveMissing, match="no archive a "):
        read(target, "a")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".a", "a\0b", "a b", "ä", "a" * 201])
def test_a_name_that_is_no_plain_file_name_is_refused_everywhere(target, name):
    for use in (
        lambda: put(target, name, b""),
        lambda: read(target, name),
        lambda: target.delete(name),
        lambda: target.clear_unfinished(name),
    ):
        with pytest.raises(Invalid):
            use()


@pytest.mark.slow
def test_a_long_archive_comes_back_in_bounded_pieces(target):
    content = random.Random(7).randbytes(2 * PART_BYTES_MIN + 12_345)
    put(target, "long", content)
    pieces = list(target.read("long"))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= READ_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("good", [0, PART_BYTES_MIN * 2])
def test_a_source_that_fails_leaves_nothing_behind(target, good):
    put(target, "before", b"1")
    with pytest.raises((ValueError, TargetUnavailable), match="the source failed"):
        target.put("a", Breaks(good))
    assert names(target) == ["before"]
    assert target.clear_unfinished("a") == 0


@pytest.mark.slow
def test_a_replacement_that_fails_leaves_the_old_one(target):
    put(target, "a", b"old")
    with pytest.raises((ValueError, TargetUnavailable)):
        target.put("a", Breaks(PART_BYTES_MIN * 2))
    assert read(target, "a") == b"old"


# A folder.


def test_folder_and_archives_are_for_their_owner_only(tmp_path):
    target = LocalTarget(tmp_path / "backups")
    put(target, "a", b"secret")
    assert stat.S_IMODE((tmp_path / "backups").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "backups" / "a").stat().st_mode) == 0o600


def test_what_another_node_is_putting_there_is_left_alone(tmp_path):
    """Several nodes keep their archives in one folder, and each begins with clearing what it left."""
    target, cleared = LocalTarget(tmp_path), []

    class Slow(io.BytesIO):
        def read(self, size=-1):
            cleared.append(LocalTarget(tmp_path).clear_unfinished("icn-theirs-"))
            return super().read(size)

    target.put("icn-ours-full.tar.gz", Slow(b"of a node"))
    assert set(cleared) == {0}
    assert read(target, "icn-ours-full.tar.gz") == b"of a node"


def test_a_folder_that_is_not_mounted_is_missed(tmp_path):
    target = LocalTarget(tmp_path / "mnt" / "backups")
    for use in (
        lambda: put(target, "a", b""),
        target.stored,
        lambda: target.clear_unfinished("a"),
        lambda: read(target, "a"),
    ):
        with pytest.raises(TargetMissing, match="mount the disk"):
            use()


def test_what_else_lies_in_the_folder_is_left_alone(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / ".hidden").write_text("theirs")
    (tmp_path / "not ours").write_text("theirs")
    (tmp_path / "link").symlink_to(tmp_path / "not ours")
    target = LocalTarget(tmp_path)
    assert target.stored() == []
    assert target.clear_unfinished("a") == 0
    with pytest.raises((TargetUnavailable, TargetDenied)):
        read(target, "link")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "folder", "link", "not ours"]


def test_a_file_in_the_folders_place_is_reported(tmp_path):
    (tmp_path / "backups").write_text("")
    with pytest.raises(TargetDenied, match="cannot be used"):
        LocalTarget(tmp_path / "backups").stored()


ENDLESS = """
import sys
from pathlib import Path
from icn.adapters.backup.local import LocalTarget

class Endless:
    def read(self, size):
        return bytes(1000)

LocalTarget(Path(sys.argv[1])).put("a", Endless())
"""


@pytest.mark.slow
def test_a_death_while_writing_leaves_only_what_the_next_run_clears(tmp_path):
    folder = tmp_path / "backups"
    child = subprocess.Popen([sys.executable, "-c", ENDLESS, str(folder)])
    try:
        wait_until("half an archive", lambda: [path for path in folder.glob(".*") if path.stat().st_size > 10_000])
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    target = LocalTarget(folder)
    assert target.stored() == []
    assert [path.name.endswith(UNFINISHED_SUFFIX) for path in folder.iterdir()] == [True]
    assert target.clear_unfinished("a") == 1
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_is_called_that(tmp_path):
    code = (
        "import io, resource, signal, sys; from pathlib import Path\n"
        "from icn.adapters.backup.local import LocalTarget\n"
        "from icn.adapters.backup.ports import TargetFull\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: LocalTarget(Path(sys.argv[1])).put('a', io.BytesIO(bytes(5000)))\n"
        "except TargetFull as error: print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path / "b")], check=False, capture_output=True, text=True)
    assert "make room" in ran.stdout, ran.stderr
    assert list((tmp_path / "b").iterdir()) == []
    assert TargetFull.code == "backup.target_full"


# A bucket.


@pytest.mark.slow
def test_wrong_credentials_are_denied_and_not_retried(service):
    line = Line(service.port)
    target = S3Target(service.settings(secret="wrong", endpoint=line.endpoint))
    for use in (lambda: put(target, "a", b"1"), target.stored, lambda: target.delete("a")):
        with pytest.raises(TargetDenied, match="refuses the credentials") as raised:
            use()
        assert "wrong" not in str(raised.value)
    assert not TargetDenied.retryable
    line.close()


@pytest.mark.slow
def test_a_missing_bucket_is_named(service):
    target = S3Target(service.settings(bucket="nowhere"))
    for use in (lambda: put(target, "a", b"1"), target.stored):
        with pytest.raises(TargetMissing, match="the bucket nowhere does not exist"):
            use()


@pytest.mark.slow
def test_other_prefixes_and_folders_below_are_left_alone(service):
    prefix = next(_prefixes)
    outer, inner = S3Target(service.settings(prefix=prefix)), S3Target(service.settings(prefix=f"{prefix}/x"))
    put(outer, "a", b"1")
    put(inner, "b", b"2")
    assert (names(outer), names(inner)) == (["a"], ["b"])


@pytest.mark.slow
def test_a_busy_service_is_asked_again(service):
    line = Line(service.port, busy_first=2)
    target = S3Target(service.settings(prefix=next(_prefixes), endpoint=line.endpoint))
    put(target, "a", b"1")
    assert read(target, "a") == b"1"
    line.close()


@pytest.mark.slow
def test_a_service_that_is_gone_is_unavailable(service):
    line = Line(service.port)
    line.close()
    target = S3Target(service.settings(endpoint=line.endpoint))
    with pytest.raises(TargetUnavailable, match="cannot be reached"):
        put(target, "a", b"1")


@pytest.mark.slow
def test_a_service_that_keeps_failing_is_left_alone_and_tried_again_after_a_while(service):
    line = Line(service.port)
    line.close()
    chosen = service.settings(prefix=next(_prefixes), endpoint=line.endpoint)
    patient = S3Target(dataclasses.replace(chosen, breaker=BreakerSettings(2, 3_600_000)))
    for _ in range(2):
        with pytest.raises(TargetUnavailable, match="cannot be reached"):
            patient.stored()
    with pytest.raises(TargetUnavailable, match="left alone for 3600 s"):
        patient.stored()
    assert patient.breaker.opened_count == 1

    down = S3Target(dataclasses.replace(chosen, breaker=BreakerSettings(1, 0)))
    for _ in range(3):  # a trial each time
        with pytest.raises(TargetUnavailable, match="cannot be reached"):
            down.stored()
    assert down.breaker.opened_count == 3


@pytest.mark.slow
def test_a_service_that_refuses_us_is_not_down(service):
    target = S3Target(dataclasses.replace(service.settings(bucket="nowhere"), breaker=BreakerSettings(1, 3_600_000)))
    for _ in range(3):
        with pytest.raises(TargetMissing):
            target.stored()


@pytest.mark.slow
def test_a_service_gone_in_the_middle_of_an_upload_leaves_nothing_under_the_name(service):
    prefix = next(_prefixes)
    line = Line(service.port, breaks_after=PART_BYTES_MIN + PART_BYTES_MIN // 2)
    with pytest.raises(TargetUnavailable):
        put(S3Target(service.settings(prefix=prefix, endpoint=line.endpoint)), "a", bytes(4 * PART_BYTES_MIN))
    direct = S3Target(service.settings(prefix=prefix))
    assert names(direct) == []
    put(direct, "a", b"the next run")
    assert read(direct, "a") == b"the next run"


@pytest.mark.slow
def test_an_upload_that_is_given_up_is_aborted(service):
    with pytest.raises((ValueError, TargetUnavailable)):
        S3Target(service.settings(prefix=next(_prefixes))).put("given-up", Breaks(PART_BYTES_MIN * 2))
    client = boto3.client(
        "s3",
        endpoint_url=service.endpoint,
        region_name="us-east-1",
        aws_access_key_id=service.key,
        aws_secret_access_key=service.secret,
    )
    listed = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    client.close()
    assert [upload["Key"] for upload in listed if upload["Key"].endswith("given-up")] == []


@pytest.mark.slow
def test_credentials_that_are_not_configured_come_from_the_standard_variables(service, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", service.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", service.secret)
    chosen = service.settings(prefix=next(_prefixes))
    target = S3Target(type(chosen)(BUCKET, chosen.prefix, endpoint=chosen.endpoint, region="us-east-1"))
    put(target, "a", b"1")
    assert names(target) == ["a"]


def test_a_bucket_full_of_other_things_is_refused_rather_than_listed(service, monkeypatch):
    target = S3Target(service.settings(prefix=next(_prefixes)))
    for name in "abc":
        put(target, name, b"")
    monkeypatch.setattr(s3, "OBJECTS_LISTED_MAX", 2)
    with pytest.raises(TargetDenied, match="a prefix of their own"):
        target.stored()


MEMORY = """
import json, sys
from icn.adapters.backup.s3 import S3Target
from icn.adapters.backup.settings import S3Settings

def most_kib():  # unlike getrusage's, not inherited from the process that started this one
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

target = S3Target(S3Settings(**json.loads(sys.argv[1])))
source = open(sys.argv[2], "rb")
before = most_kib()
target.put("a", source)
for piece in target.read("a"):
    pass
print(most_kib() - before)
"""
LONG_BYTES = 128 * MIB
MEMORY_KIB_MAX = 72 * 1024


@pytest.mark.slow
def test_a_long_upload_takes_bounded_memory(service, tmp_path):
    content = tmp_path / "content"
    with content.open("wb") as file:
        file.truncate(LONG_BYTES)
    chosen = dataclasses.asdict(service.settings(prefix=next(_prefixes)))
    del chosen["retry"], chosen["breaker"]  # no JSON
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, json.dumps(chosen), str(content)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < MEMORY_KIB_MAX, ran.stdout
