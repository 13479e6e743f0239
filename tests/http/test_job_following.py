"""One job over HTTP: how far it is, its receipt, and its records as a stream that is taken up without loss."""

import base64
import json

from icn.kernel.ids import RAW, Cid, JobId
from support.http_node import signer_of
from support.http_world import World, run

STREAM = "text/event-stream"
STRANGER = str(JobId.of(signer_of(9).did, bytes(16)))


def test_progress_of_a_job_that_has_ended() -> None:
    async def test(world: World) -> None:
        job = await world.job()
        found = (await world.client.get(f"/mesh/jobs/{job}/progress")).json
        assert (found["phase"], found["waits_for"], found["bids"], found["phase_left_ms"]) == ("completed",) + (
            None,
        ) * 3
        (attempt,) = found["attempts"]
        (ran,) = attempt["runs"]
        assert (ran["executor"], ran["outcome"], ran["price"]) == (world.did, "completed", 100)
        assert ran["receipt_cid"] == (await world.client.get(f"/mesh/jobs/{job}")).json["receipt_cid"]

    run(test)


def test_progress_of_a_job_that_waits_for_bids() -> None:
    async def test(world: World) -> None:
        job = await world.job(deadline_seconds=60)
        world.node.clock.moment += 2_500
        found = (await world.client.get(f"/mesh/jobs/{job}/progress")).json
        assert (found["phase"], found["waits_for"]) == ("bidding", "bids")
        assert found["bids"] == {"offered": 0, "declined": 0, "expected": 0, "reasons": []}
        assert (found["phase_left_ms"], found["job_left_ms"]) == (12_500, 57_500)
        assert found["attempts"][0]["runs"] == []

    run(test, executes=False)


def test_a_job_that_does_not_exist() -> None:
    async def test(world: World) -> None:
        for path in (f"/mesh/jobs/{STRANGER}/progress", f"/mesh/jobs/{STRANGER}/stream"):
            answer = await world.client.get(path)
            assert (answer.status, answer.json["code"]) == (404, "mesh.job_not_found")
            assert (await world.stranger.get(path)).status == 401
            assert (await world.client.get(path.replace("job-", "pear-"))).status == 422
        assert world.node.follower_count == 0

    run(test)


def test_the_stream_of_a_job_has_its_records_only_and_ends_with_it() -> None:
    async def test(world: World) -> None:
        await world.job(b"another")
        job = await world.job(deadline_seconds=60)
        await world.job(b"a third")
        async with world.client.stream(f"/mesh/jobs/{job}/stream", accept=STREAM) as stream:
            assert await stream.status() == 200
            told = [await stream.event(), await stream.event()]
            world.node.executes = True
            await world.client.post(f"/mesh/jobs/{job}/cancel", {})
            while told[-1] is not None:
                told.append(await stream.event())
        events = [event for event in told if event is not None]
        types = [event["event"] for event in events]
        assert types == ["mesh.job_submitted", *["mesh.bidding_opened"] * 2, "mesh.rollback", "end"]
        assert {json.loads(event["data"])["event"]["job"] for event in events[:-1]} == {job}
        assert "id" not in events[-1]
        assert json.loads(events[-1]["data"])["status"] == "cancelled"
        assert world.node.follower_count == 0

    run(test, executes=False)


def test_a_stream_is_taken_up_behind_the_last_event_without_loss_or_repetition() -> None:
    async def test(world: World) -> None:
        job = await world.job()

        async def read(**headers: str) -> list[dict[str, str]]:
            found = []
            async with world.client.stream(f"/mesh/jobs/{job}/stream", accept=STREAM, **headers) as stream:
                assert await stream.status() == 200
                while (event := await stream.event()) is not None:
                    found.append(event)
            return found

        whole = await read()
        assert [event["event"] for event in whole][-2:] == ["mesh.job_completed", "end"]
        for index, event in enumerate(whole[:-1]):
            assert await read(last_event_id=event["id"]) == whole[index + 1 :]
        answer = await world.client.get(f"/mesh/jobs/{job}/stream", last_event_id="yesterday")
        assert answer.status == 422

    run(test)


def test_the_stream_of_a_job_ends_with_the_node() -> None:
    async def test(world: World) -> None:
        job = await world.job()
        async with world.client.stream(f"/mesh/jobs/{job}/stream", accept=STREAM) as stream:
            await stream.status()
            for _ in range(3):
                assert await stream.event() is not None
            world.node.end_followers()
            assert await stream.event() is None, "without the event `end`: the job goes on"

    run(test, executes=False)


def test_jobs_and_events_are_filtered() -> None:
    async def test(world: World) -> None:
        first = await world.job(b"1")
        world.node.clock.moment += 1000
        second = await world.job(b"2")
        listed = (await world.client.get("/mesh/jobs?since=2025-06-15T15:06:41Z")).json["items"]
        assert [job["job_id"] for job in listed] == [second]
        assert len((await world.client.get(f"/mesh/jobs?payer={world.did}&status=completed")).json["items"]) == 2
        assert (await world.client.get(f"/mesh/jobs?payer={signer_of(9).did}")).json["items"] == []
        for wrong in ("payer=somebody", "since=yesterday"):
            assert (await world.client.get(f"/mesh/jobs?{wrong}")).status == 422
        told = (await world.client.get(f"/events?job={first}")).json["items"]
        assert {event["event"]["job"] for event in told} == {first}
        about = told[0]["correlation_id"]
        caused = (await world.client.get(f"/events?correlation={about}&limit=500")).json["items"]
        assert {event["type"] for event in caused} >= {event["type"] for event in told}
        assert all(event["event"].get("job") in {first, None} for event in caused)
        assert (await world.client.get("/events?type=mesh&tail=1")).json["items"][0]["event"]["job"] == second

    run(test)


def test_a_receipt_by_its_name_and_by_its_job() -> None:
    async def test(world: World) -> None:
        job = await world.job()
        by_job = (await world.client.get(f"/mesh/receipts/{job}")).json
        assert by_job["cid"] == (await world.client.get(f"/mesh/jobs/{job}")).json["receipt_cid"]
        assert str(Cid.of(base64.b64decode(by_job["receipt_base64"]), RAW)) == by_job["cid"]
        assert (await world.client.get(f"/mesh/receipts/{by_job['cid']}")).json == by_job
        assert (by_job["job_id"], by_job["receipt"]["exit"]) == (job, "completed")
        assert [one["type"] for one in by_job["records"]] == ["mesh.receipt_issued", "mesh.job_completed"]
        unknown = await world.client.get(f"/mesh/receipts/{Cid.of(b'none', RAW)}")
        assert (unknown.status, unknown.json["code"]) == (404, "mesh.receipt_not_found")
        for wrong in ("pear", "job-x"):
            assert (await world.client.get(f"/mesh/receipts/{wrong}")).status == 422

    run(test)
