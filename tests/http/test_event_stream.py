"""Following events: nothing twice, nothing missed, and an end when the node stops."""

import json

from support.http_node import signer_of
from support.http_world import World, run

STREAM = "text/event-stream"
MEMBERS = [str(signer_of(number).did) for number in range(20, 26)]


def test_what_happens_from_now_on() -> None:
    async def test(world: World) -> None:
        async with world.client.stream("/events", accept=STREAM) as stream:
            assert await stream.status() == 200
            await world.open_account(MEMBERS[0])
            event = await stream.event()
            assert event is not None
            assert (event["id"], event["event"]) == ("1-0", "ledger.account_opened")
            assert json.loads(event["data"])["event"]["owner"] == MEMBERS[0]
        assert world.node.follower_count == 0

    run(test)


def test_a_client_that_comes_back_goes_on_where_it_was() -> None:
    async def test(world: World) -> None:
        for member in MEMBERS[:3]:
            await world.open_account(member)
        async with world.client.stream("/events", accept=STREAM, last_event_id="1-0") as stream:
            await stream.status()
            first, second = await stream.event(), await stream.event()
            await world.open_account(MEMBERS[3])
            third = await stream.event()
            assert [event["id"] for event in (first, second, third) if event] == ["2-0", "3-0", "4-0"]

    run(test)


def test_only_what_is_asked_for() -> None:
    async def test(world: World) -> None:
        async with world.client.stream("/events?type=transferred", accept=STREAM) as stream:
            await stream.status()
            await world.open_account(MEMBERS[0])
            await world.client.post("/mana/transfer", {"to": MEMBERS[0], "amount": 1})
            event = await stream.event()
            assert event is not None
            assert event["event"] == "ledger.transferred"

    run(test)


def test_the_tail_comes_first() -> None:
    async def test(world: World) -> None:
        async with world.client.stream("/events?tail=1", accept=STREAM) as stream:
            await stream.status()
            last = await stream.event()
            await world.open_account(MEMBERS[0])
            new = await stream.event()
            assert [event["id"] for event in (last, new) if event] == ["0-1", "1-0"]

    run(test)


def test_the_stream_ends_with_the_node() -> None:
    async def test(world: World) -> None:
        async with world.client.stream("/events", accept=STREAM) as stream:
            await stream.status()
            while not world.node.follower_count:
                await stream.arrived.get()
            world.node.end_followers()
            assert await stream.event() is None

    run(test)


def test_a_place_that_was_never_here_is_refused_and_not_waited_for() -> None:
    """As of a store that was put back since: what is recorded now would be told when it has come as far again."""

    async def test(world: World) -> None:
        job = (await world.client.post("/mesh/submit", {})).json["job_id"]
        last = (await world.client.get("/events?tail=1")).json["items"][0]["id"]
        arrival = int(last.partition("-")[0])
        answer = await world.client.get(f"/events?cursor={arrival + 1}-0")
        assert (answer.status, answer.json["event"]) == (409, f"{arrival + 1}-0")
        for path in ("/events", f"/mesh/jobs/{job}/stream"):
            answer = await world.client.get(path, accept=STREAM, last_event_id=f"{arrival + 1}-0")
            assert (answer.status, answer.json["code"]) == (409, "events.unknown"), path
        for cursor in (last, (await world.client.get("/events?tail=1")).json["next_cursor"]):
            assert (await world.client.get(f"/events?cursor={cursor}")).json["items"] == []

    run(test)


def test_a_place_out_of_form_is_refused() -> None:
    async def test(world: World) -> None:
        answer = await world.client.get("/events", accept=STREAM, last_event_id="yesterday")
        assert (answer.status, answer.is_problem) == (422, True)

    run(test)
