"""Executors and figures over HTTP."""

from support.http_world import World, run


def test_executors_by_page() -> None:
    async def test(world: World) -> None:
        job = await world.job()
        page = (await world.client.get("/mesh/executors?limit=1")).json
        (one,) = page["items"]
        assert (one["did"], one["here"], one["places"], one["completed"]) == (world.did, True, 2, 1)
        assert (one["last_job"], one["last_price"], page["next_cursor"]) == (job, 100, None)
        assert (await world.client.get("/mesh/executors?limit=501")).status == 422
        assert (await world.client.get("/mesh/executors?cursor=x")).status == 422
        assert (await world.stranger.get("/mesh/executors")).status == 401

    run(test)


def test_figures_of_jobs() -> None:
    async def test(world: World) -> None:
        await world.job()
        world.node.executes = False
        await world.job(capabilities=["gpu"])
        figures = (await world.client.get("/mesh/metrics")).json
        assert figures["open"] == {"open": 1, "by_status": {"bidding": 1}}
        assert (figures["own"]["submitted"], figures["own"]["ended"]["completed"]) == (2, 1)
        whole = next(one for one in figures["own"]["phases"] if one["phase"] == "whole")
        assert whole == {"phase": "whole", "count": 1, "p50_ms": 0, "p90_ms": 0, "p99_ms": 0, "longest_ms": 0}
        assert (figures["executor"], figures["queue_depth"]) == ({"capacity": 2, "running": 0}, 0)

    run(test)
