"""Who gets no jobs of this node, as the API tells it, and clearing a ban; and submissions that are too many."""

from dataclasses import replace

from icn.domain.mesh.admission import Admission
from icn.services.inputs import Tick
from support.http_node import signer_of
from support.http_world import World, run


async def ban_ourselves(world: World) -> None:
    """A job whose three attempts are lost by the only executor, which is the node itself."""
    await world.job()
    for _ in range(3):
        world.node.clock.moment += 1_000
        world.node.run([Tick()])


def test_a_ban_is_listed_with_its_reason_and_cleared_once() -> None:
    async def test(world: World) -> None:
        assert (await world.client.get("/mesh/blacklist")).json == {"items": [], "next_cursor": None}
        await ban_ourselves(world)
        (line,) = (await world.client.get("/mesh/blacklist")).json["items"]
        assert (line["executor"], line["state"], line["failures"]) == (world.did, "banned", 3)
        assert line["reason"] == "worker_lost: killed"
        assert 590 < line["seconds_left"] <= 600
        cleared = await world.client.post("/mesh/blacklist/clear", {"did": world.did})
        assert (cleared.status, cleared.json["cleared"]) == (200, True)
        assert (await world.client.get("/mesh/blacklist")).json["items"] == []
        again = await world.client.post("/mesh/blacklist/clear", {"did": world.did})
        assert (again.status, again.json["code"]) == (404, "mesh.not_blacklisted")

    run(test, loses=True)


def test_a_banned_executor_gets_the_next_job_only_when_it_is_cleared() -> None:
    async def test(world: World) -> None:
        await ban_ourselves(world)
        world.node.loses = False
        job = await world.job(b"later")
        world.node.run([Tick()])
        assert (await world.client.get(f"/mesh/jobs/{job}")).json["status"] == "bidding"
        await world.client.post("/mesh/blacklist/clear", {"did": world.did})
        world.node.run([Tick()])
        assert (await world.client.get(f"/mesh/jobs/{job}")).json["status"] == "completed"

    run(test, loses=True)


def test_nobody_sees_or_changes_it_without_a_key() -> None:
    async def test(world: World) -> None:
        assert (await world.stranger.get("/mesh/blacklist")).status == 401
        answer = await world.stranger.post("/mesh/blacklist/clear", {"did": str(signer_of(2).did)})
        assert answer.status == 401

    run(test)


def test_a_failed_job_tells_of_every_attempt_and_whom_it_counts_against() -> None:
    async def test(world: World) -> None:
        job = await world.job()
        for _ in range(3):
            world.node.clock.moment += 1_000
            world.node.run([Tick()])
        record = (await world.client.get(f"/mesh/jobs/{job}")).json
        assert record["reason"] == "3 attempts failed: 1 to 3: worker_lost: killed"
        assert [failure["blame"] for failure in record["failures"]] == ["at_once"] * 3
        assert record["cancellation"] is None
        (event,) = (await world.client.get("/events?type=rollback")).json["items"]
        assert (event["type"], event["event"]["attempts"]) == ("mesh.rollback", 3)

    run(test, loses=True)


def test_submissions_beyond_the_rate_are_429_with_when_to_come_again() -> None:
    async def test(world: World) -> None:
        world.node.engine.home.admission = Admission(2)
        for _ in range(2):
            await world.job()
        body = {"max_price": 10}
        refused = await world.client.post("/mesh/submit", body)
        assert (refused.status, refused.json["code"]) == (429, "mesh.too_many_submissions")
        assert refused.headers["retry-after"] == "30"
        world.node.clock.moment += 30_000
        assert (await world.client.post("/mesh/submit", body)).status == 202

    run(test)


def test_jobs_that_are_too_many_at_once_are_429() -> None:
    async def test(world: World) -> None:
        home = world.node.engine.home
        home.terms = replace(home.terms, mesh=replace(home.terms.mesh, open_per_payer=1))
        await world.job()
        refused = await world.client.post("/mesh/submit", {"max_price": 10})
        assert (refused.status, refused.json["code"]) == (429, "mesh.too_many_jobs_of_yours")

    run(test, executes=False)
