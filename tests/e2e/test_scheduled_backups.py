"""Scheduled backups of a real node: made, kept, proven, told; to a folder and to S3, in the open and encrypted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from node_process import NodeProcess, base64_of, wait_until

from icn.services.backup_plan import ArchiveName
from support.processes import Nodes, cli
from support.s3_server import BUCKET, S3Server, s3_server

pytestmark = pytest.mark.slow

SUCCESS = "icn_backup_last_success_timestamp_seconds"
VERIFIED = "icn_backup_last_verified_timestamp_seconds"


def flags(target: object, **settings: object) -> list[str]:
    """A schedule that runs as often as it can, with these settings besides."""
    chosen = {"enabled": "true", "target": target, "interval_secs": 1, "drill_interval_secs": 0, "keep_days": 0}
    return [part for key, value in (chosen | settings).items() for part in ("--set", f"backup.{key}={value}")]


def state(node: NodeProcess):
    return node.ask("GET", "/status")["backups"]


def archives(node: NodeProcess):
    return node.ask("GET", "/admin/backups")["archives"]


def metric(node: NodeProcess, name: str) -> float:
    lines = node.ask("GET", "/metrics").decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def said(node: NodeProcess, event: str) -> list[str]:
    return [line for line in list(node.log) if f'"event": "{event}"' in line]


def backups_made(node: NodeProcess, count: int) -> None:
    """Wait until so many have succeeded since the start."""
    wait_until(f"{count} backups", lambda: len(said(node, "backup made")) >= count)


@pytest.fixture(scope="module")
def service() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


def test_a_node_backs_itself_up_keeps_what_it_says_and_proves_it(nodes: Nodes, tmp_path: Path):
    target = tmp_path / "target"
    node = nodes.start("node", *flags(target, full_every=3, keep_last=2, drill_interval_secs=1))
    cid = node.ask("POST", "/dag/put", {"data": base64_of(b"precious"), "pin": True})["cid"]
    backups_made(node, 5)
    wait_until("a proof", lambda: metric(node, VERIFIED))
    wait_until("the first chain's end", lambda: said(node, "backup deleted"))
    listed = archives(node)
    assert all(archive["restorable"] for archive in listed)
    assert 2 <= len(listed) <= 2 + 3
    assert metric(node, SUCCESS) > 1_600_000_000
    assert metric(node, "icn_backup_scheduled") == 1
    assert metric(node, 'icn_backup_failures_total{task="backup"}') == 0
    assert state(node)["failures"] == []
    ran = cli(node, "backup", "drill")
    assert (ran.code, "restorable" in ran.out) == (0, True), ran.err
    assert cid
    assert node.stop()[0] == 0
    assert not list(node.folder.glob("backup-scratch/*"))
    assert not [path.name for path in target.iterdir() if ArchiveName.parse(path.name) is None]


def test_what_was_done_last_survives_a_restart(nodes: Nodes, tmp_path: Path):
    schedule = flags(tmp_path / "target", interval_secs=86_400, drill_interval_secs=86_400)
    node = nodes.start("node", *schedule)
    wait_until("a proof", lambda: metric(node, VERIFIED))
    before = (metric(node, SUCCESS), metric(node, VERIFIED))
    assert node.stop()[0] == 0
    node.start()
    assert (metric(node, SUCCESS), metric(node, VERIFIED)) == before
    assert len(archives(node)) == 1
    assert cli(node, "backup", "run").code == 0
    assert [archive["kind"] for archive in archives(node)] == ["full", "incremental"]
    assert metric(node, SUCCESS) > before[0]


def test_a_damaged_archive_makes_the_drill_fail_loudly(nodes: Nodes, tmp_path: Path):
    target = tmp_path / "target"
    node = nodes.start("node", *flags(target, interval_secs=86_400))
    backups_made(node, 1)
    assert cli(node, "backup", "drill").code == 0
    proven = metric(node, VERIFIED)
    (path,) = target.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    ran = cli(node, "backup", "drill")
    assert ran.code == 5
    assert path.name in ran.out
    assert metric(node, VERIFIED) == proven
    assert metric(node, 'icn_backup_failures_total{task="drill"}') == 1
    assert path.name in said(node, "backup not restorable")[0]
    (failure,) = state(node)["failures"]
    assert failure["task"] == "drill"
    shown = cli(node, "backup", "status")
    assert (shown.code, "drill" in shown.out) == (0, True)


def test_a_target_that_is_not_there_does_not_stop_the_node(nodes: Nodes, tmp_path: Path):
    mount = tmp_path / "mnt"
    node = nodes.start("node", *flags(mount / "target"))
    wait_until("a failure", lambda: metric(node, 'icn_backup_failures_total{task="backup"}'))
    assert "mount the disk" in said(node, "backup failed")[0]
    assert node.ask("GET", "/ready")["ready"]
    assert cli(node, "backup", "run").code == 6
    mount.mkdir()
    assert cli(node, "backup", "run").code == 0
    assert state(node)["failures"] == []


def test_backups_go_to_a_bucket_encrypted_and_are_proven_from_there(nodes: Nodes, tmp_path: Path, service: S3Server):
    (tmp_path / "secret").write_text(service.secret)
    chosen = flags(
        f"s3://{BUCKET}/node-1",
        interval_secs=86_400,
        drill_interval_secs=86_400,
        s3_endpoint=service.endpoint,
        s3_region="us-east-1",
        s3_access_key_id=service.key,
        s3_secret_access_key_file=tmp_path / "secret",
        passphrase_env="BACKUP_WORDS",
    )
    node = nodes.make("node", *chosen)
    node.environment["BACKUP_WORDS"] = "correct horse battery staple"
    node.start()
    wait_until("a proof", lambda: metric(node, VERIFIED), 60)
    (archive,) = archives(node)
    assert (archive["encrypted"], archive["restorable"]) == (True, True)
    assert archive["name"].endswith(".tar.gz.age")
    log = "\n".join(node.log)
    for secret in (service.secret, "correct horse"):
        assert secret not in log + str(state(node))


def test_a_service_that_went_away_is_told_and_the_node_serves_on(nodes: Nodes, tmp_path: Path):
    with s3_server() as service:
        chosen = flags(
            f"s3://{BUCKET}/node-2",
            s3_endpoint=service.endpoint,
            s3_region="us-east-1",
            s3_access_key_id=service.key,
            s3_secret_access_key=service.secret,
        )
        node = nodes.start("node", *chosen)
        backups_made(node, 1)
        service.kill()
        wait_until("a failure", lambda: state(node)["failures"], 60)
    assert "cannot be reached" in state(node)["failures"][0]["why"]
    assert node.ask("GET", "/ready")["ready"]
    assert service.secret not in "\n".join(node.log)
    assert node.stop()[0] == 0
