"""Backups over HTTP: who may ask, what is answered, and what they tell when they fail."""

from icn.adapters.backup.local import LocalTarget
from icn.kernel.instant import Duration
from icn.node.backup_jobs import BackupJobs, BackupTerms
from icn.node.backups import Backups, Intervals
from icn.services.backup_plan import Retention
from support.http_world import World, run

ROUTES = [("GET", "/admin/backups"), ("POST", "/admin/backups/run"), ("POST", "/admin/backups/drill")]


def with_target(world: World, folder, name: str = "target") -> None:
    node = world.node
    jobs = BackupJobs(
        target=LocalTarget(folder / name),
        terms=BackupTerms(3, Retention(7, Duration(0)), None, None),
        snapshot=node.snapshot,
        did=node.did,
        clock=node.clock,
        elapsed_ms=lambda: 0,
        scratch=folder / "scratch",
        program="icn/test",
        backend="memory",
    )
    node.backups = Backups(
        jobs=jobs,
        intervals=Intervals(None, None),
        snapshot=node.snapshot,
        record=lambda command: node.submit(command, principal=node.did, key="", digest=b"", correlation="b"),
        clock=node.clock,
        observer=node.metrics,
    )


async def ask(client, method: str, path: str):
    return await (client.get(path) if method == "GET" else client.post(path, {}))


def test_without_a_key_nobody_makes_or_lists_backups() -> None:
    async def test(world: World) -> None:
        for method, path in ROUTES:
            assert (await ask(world.stranger, method, path)).status == 401

    run(test)


def test_without_a_target_each_says_what_to_set() -> None:
    async def test(world: World) -> None:
        for method, path in ROUTES:
            answer = await ask(world.client, method, path)
            assert (answer.status, answer.json["code"]) == (409, "backup.not_configured")
            assert "set [backup] target" in answer.json["detail"]

    run(test)


def test_a_backup_is_made_listed_proven_and_shown(tmp_path) -> None:
    async def test(world: World) -> None:
        with_target(world, tmp_path)
        made = await world.client.post("/admin/backups/run", {})
        assert made.status == 200, made.body
        listed = (await world.client.get("/admin/backups")).json
        assert [(one["name"], one["kind"], one["restorable"]) for one in listed["archives"]] == [
            (made.json["archive"], "full", True)
        ]
        assert listed["archives"][0]["size"] == made.json["size"]
        proof = (await world.client.post("/admin/backups/drill", {})).json
        assert (proof["ok"], proof["finding"], proof["archive"]) == (True, None, made.json["archive"])
        shown = (await world.client.get("/status")).json["backups"]
        assert shown["last_success"] == made.json
        assert shown["last_verified"]["archive"] == made.json["archive"]
        assert (shown["scheduled"], shown["failures"]) == (False, [])

    run(test)


def test_a_target_that_is_gone_is_an_error_of_the_server_and_shown(tmp_path) -> None:
    async def test(world: World) -> None:
        with_target(world, tmp_path, "mnt/target")
        answer = await world.client.post("/admin/backups/run", {})
        assert answer.status >= 500
        assert answer.json["code"] == "backup.target_missing"
        shown = (await world.client.get("/status")).json["backups"]
        assert shown["failures"][0]["task"] == "backup"
        assert "mount the disk" in shown["failures"][0]["why"]

    run(test)


def test_a_drill_without_a_backup_finds_nothing(tmp_path) -> None:
    async def test(world: World) -> None:
        with_target(world, tmp_path)
        answer = await world.client.post("/admin/backups/drill", {})
        assert (answer.status, answer.json["code"]) == (404, "backup.nothing_to_drill")

    run(test)
