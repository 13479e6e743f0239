"""What each route answers when all is well, as the API's page says."""

import base64

from icn.adapters.network.dialing import DialFailed
from icn.domain.mesh.execution import ExitKind
from icn.kernel.ids import Did, PeerId
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.asgi_client import Answer
from support.http_node import CAP, GRANT, RATE, signer_of
from support.http_world import KEY, World, run

MEMBER = str(signer_of(9).did)
OTHER = str(signer_of(8).did)


def test_alive_and_ready_without_a_key() -> None:
    async def test(world: World) -> None:
        assert (await world.stranger.get("/health")).json == {"status": "ok"}
        ready = await world.stranger.get("/ready")
        assert ready.status == 200
        assert ready.json["ready"] is True
        assert set(ready.json["checks"]) == {*("writer", "authoring", "store", "ledger", "federation", "p2p", "disk")}

    run(test)


def test_who_stands_by_is_alive_but_not_ready_and_says_why() -> None:
    async def test(world: World) -> None:
        world.node.authoring = False
        ready = await world.stranger.get("/ready")
        assert (ready.status, ready.json["ready"]) == (503, False)
        assert ready.json["reasons"] == ["writer: standing by: another process is the author of this store"]
        assert (await world.stranger.get("/health")).status == 200

    run(test)


def test_info_says_who_this_is() -> None:
    async def test(world: World) -> None:
        info = (await world.client.get("/info")).json
        assert (info["did"], info["federation"]["name"]) == (world.did, "demo")
        assert info["peer_id"].startswith("12D3KooW")
        assert info["storage"] == {"backend": "memory", "path": None}
        assert info["started_at"] == "2025-06-15T15:06:40.000Z"
        assert info["listen"] == {"http": "127.0.0.1:7845", "p2p": []}

    run(test)


def test_status_says_how_it_fares() -> None:
    async def test(world: World) -> None:
        world.node.clock.moment += 90_000
        status = (await world.client.get("/status")).json
        assert status["uptime_seconds"] == 90
        assert status["federation"]["state"] == "member"
        assert status["federation"]["admitted"] is True
        assert status["mana"]["balance"] == GRANT + RATE * 90 // 3600
        assert status["mana"]["supply"]["balanced"] is True
        assert status["jobs"] == {"open": 0, "by_status": {}}
        assert status["writer"] == {"state": "author", "held": None}
        assert status["dag"]["root"] == (await world.client.get("/dag/root")).json["root"]

    run(test)


def test_both_prefixes_serve_the_same_routes() -> None:
    async def test(world: World) -> None:
        assert (await world.client.get("/api/v1/dag/root")).json == (await world.client.get("/dag/root")).json
        assert (await world.stranger.get("/api/v1/health")).status == 200
        assert (await world.stranger.get("/api/v1/info")).status == 401

    run(test)


def test_content_goes_in_and_comes_out() -> None:
    async def test(world: World) -> None:
        data = bytes(range(256))
        put = await world.client.post("/dag/put", {"data": base64.b64encode(data).decode(), "pin": True})
        assert (put.status, put.json["size"]) == (201, 256)
        got = await world.client.post("/dag/get", {"cid": put.json["cid"]})
        assert base64.b64decode(got.json["data"]) == data
        assert (got.json["codec"], got.json["signed"]) == ("raw", False)

    run(test)


def test_content_that_nobody_has_is_not_found() -> None:
    async def test(world: World) -> None:
        absent = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
        got = await world.client.post("/dag/get", {"cid": absent})
        assert (got.status, got.json["code"]) == (404, "dag.not_found")

    run(test)


def test_a_block_of_the_dag_can_be_read() -> None:
    async def test(world: World) -> None:
        head = (await world.client.get("/dag/root")).json["heads"][0]
        block = (await world.client.get(f"/dag/blocks/{head['cid']}?read=true")).json
        assert (block["author"], block["sequence"], block["previous"]) == (world.did, 0, None)
        assert [record["type"] for record in block["records"]] == ["federation.founded", "ledger.account_opened"]
        assert block["confirmed"] is True
        signed = await world.client.post("/dag/get", {"cid": head["cid"]})
        assert (signed.json["signed"], signed.json["codec"]) == (True, "dag-cbor")

    run(test)


def test_content_is_not_a_block_of_the_dag() -> None:
    async def test(world: World) -> None:
        put = await world.client.post("/dag/put", {"data": "aGk="})
        answer = await world.client.get(f"/dag/blocks/{put.json['cid']}?read=true")
        assert (answer.status, answer.json["code"]) == (404, "dag.block_not_found")

    run(test)


def test_verification_through_the_api() -> None:
    async def test(world: World) -> None:
        await world.job()
        for path in ("/dag/verify", "/dag/verify?deep=true"):
            report = (await world.client.get(path)).json
            assert (report["ok"], report["findings"]) == (True, [])
            assert report["checked"]["blocks"] == (await world.client.get("/dag/root")).json["blocks"]

    run(test)


def test_mana_moves_and_is_conserved() -> None:
    async def test(world: World) -> None:
        await world.open_account(MEMBER)
        paid = await world.client.post("/mana/transfer", {"to": MEMBER, "amount": 40, "note": "for bread"})
        assert paid.status == 200
        assert (paid.json["status"], paid.json["balance"]) == ("done", GRANT - 40)
        member = (await world.client.get(f"/account/{MEMBER}/mana")).json
        assert (member["balance"], member["home"], member["cap"]) == (GRANT + 40, world.did, CAP)
        assert member["homes"][0]["home"] == world.did
        supply = (await world.client.get("/mana/supply")).json
        assert supply == {
            "minted": 2 * GRANT,
            "burned": 0,
            "available": 2 * GRANT,
            "held": 0,
            "in_transit": 0,
            "balanced": True,
        }

    run(test)


def test_what_the_account_lacks_is_402_with_the_figures() -> None:
    async def test(world: World) -> None:
        await world.open_account(MEMBER)
        answer = await world.client.post("/mana/transfer", {"to": MEMBER, "amount": GRANT + 1})
        assert (answer.status, answer.json["code"]) == (402, "ledger.insufficient_mana")
        assert answer.json["error"] == answer.json["detail"]

    run(test)


def test_accounts_that_are_not_there_or_are_already() -> None:
    async def test(world: World) -> None:
        assert (await world.client.get(f"/account/{OTHER}/mana")).status == 404
        assert (await world.client.post("/mana/transfer", {"to": OTHER, "amount": 1})).status == 404
        assert (await world.client.post("/account/open", {"did": world.did})).status == 409

    run(test)


def test_a_job_from_submission_to_verified_receipt() -> None:
    async def test(world: World) -> None:
        job_id = await world.job(b"flour and water", module="echo", args=["x"])
        job = (await world.client.get(f"/mesh/jobs/{job_id}")).json
        assert (job["status"], job["exit_code"], job["executor"]) == ("completed", 0, world.did)
        assert base64.b64decode(job["spec"]["input_base64"]) == b"flour and water"
        assert job["confirmed"] is True
        output = await world.client.get(f"/mesh/jobs/{job_id}/output")
        assert (output.body, output.headers["content-type"]) == (b"flour and water", "application/octet-stream")
        receipt = (await world.client.get(f"/mesh/receipts/{job_id}")).json
        assert receipt["receipt"] == job["receipt"]
        verified = (await world.client.post("/mesh/verify", {"job_id": job_id})).json
        assert (verified["signature_ok"], verified["matches"], verified["comparable"]) == (True, True, True)

    run(test)


def test_running_again_shows_a_receipt_that_does_not_match_and_nobody_disputes_its_own() -> None:
    async def test(world: World) -> None:
        job_id = await world.job(b"flour and water", module="echo")
        world.node.runs_wrongly = b"flour"
        verified = (await world.client.post("/mesh/verify", {"job_id": job_id})).json
        assert (verified["signature_ok"], verified["matches"], verified["disputed"]) == (True, False, False)
        job = (await world.client.get(f"/mesh/jobs/{job_id}")).json
        assert (job["parties"], job["disputes"]) == ([], [])

    run(test)


def test_running_again_on_a_machine_that_is_too_slow_compares_nothing() -> None:
    async def test(world: World) -> None:
        job_id = await world.job(b"flour and water", module="echo")
        world.node.reruns_end = ExitKind.DEADLINE
        verified = (await world.client.post("/mesh/verify", {"job_id": job_id})).json
        assert (verified["matches"], verified["comparable"], verified["disputed"]) == (False, False, False)

    run(test)


def test_an_open_job_has_no_output_and_can_be_cancelled() -> None:
    async def test(world: World) -> None:
        job_id = await world.job()
        assert (await world.client.get("/status")).json["jobs"] == {"open": 1, "by_status": {"bidding": 1}}
        output = await world.client.get(f"/mesh/jobs/{job_id}/output")
        assert (output.status, output.json["code"]) == (404, "mesh.no_receipt")
        assert (await world.client.get(f"/account/{world.did}/mana")).json["held"] == 200
        cancelled = await world.client.post(f"/mesh/jobs/{job_id}/cancel")
        assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
        assert (await world.client.post(f"/mesh/jobs/{job_id}/cancel")).status == 409
        assert (await world.client.get(f"/account/{world.did}/mana")).json["balance"] == GRANT

    run(test, executes=False)


def test_jobs_page_newest_first_and_by_status() -> None:
    async def test(world: World) -> None:
        submitted = []
        for _ in range(5):
            world.node.clock.moment += 10
            submitted.append(await world.job())
        pages, cursor = [], ""
        for _ in range(4):
            page = (await world.client.get(f"/mesh/jobs?limit=2{cursor}")).json
            pages.append([item["job_id"] for item in page["items"]])
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert [job for page in pages for job in page] == submitted[::-1]
        assert [len(page) for page in pages] == [2, 2, 1]
        assert (await world.client.get("/mesh/jobs?status=failed")).json["items"] == []
        assert len((await world.client.get("/mesh/jobs?status=completed")).json["items"]) == 5

    run(test)


def test_events_filter_page_and_tail() -> None:
    async def test(world: World) -> None:
        await world.open_account(MEMBER)
        await world.client.post(
            "/mana/transfer", {"to": MEMBER, "amount": 5}, idempotency_key="bread-7", x_correlation_id="shop-1"
        )
        everything = (await world.client.get("/events")).json["items"]
        assert [event["id"] for event in everything] == ["0-0", "0-1", "1-0", "2-0"]
        (moved,) = (await world.client.get("/events?type=transferred")).json["items"]
        assert (moved["type"], moved["cause"], moved["correlation_id"]) == ("ledger.transferred", "bread-7", "shop-1")
        assert moved["event"]["amount"] == 5
        assert (await world.client.get("/events?type=ledger.transferred")).json["items"] == [moved]
        assert (await world.client.get("/events?tail=1")).json["items"] == [moved]
        first = (await world.client.get("/events?limit=3")).json
        assert (await world.client.get(f"/events?cursor={first['next_cursor']}")).json["items"] == [moved]
        assert (await world.client.get(f"/events?actor={OTHER}")).json["items"] == []
        assert (await world.client.get("/events?since=2030-01-01")).json["items"] == []
        assert len((await world.client.get("/events?until=2030-01-01T00:00:00Z")).json["items"]) == 4

    run(test)


def test_federation_and_network() -> None:
    async def test(world: World) -> None:
        federation = (await world.client.get("/federation/status")).json
        assert (federation["state"], federation["quorum"]) == ("member", 1)
        here = {"admitted": True, "joined": True, "left": False, "removed": False, "votes": 0, "removal_votes": 0}
        member = {"did": world.did, **here, "sequence": 0}
        assert federation["members"] == [member]
        assert federation["policy"]["join_policy"] == "open"
        unknown = await world.client.post("/federation/admit", {"did": OTHER})
        assert (unknown.status, unknown.json["code"]) == (404, "federation.unknown_node")
        assert (await world.client.get("/network/peers")).json == {"items": [], "dialing": [], "services": []}
        local = (await world.client.get("/network/local-peer-id")).json
        assert local["peer_id"].startswith("12D3KooW")

    run(test)


class Town:
    """A network on which one address has somebody, and others nobody or somebody else."""

    async def connect(self, address: Multiaddr) -> PeerId:
        if address.port == 1:
            raise DialFailed("Connection refused")
        if address.port == 2:
            raise DialFailed("this is our own address", lasting=True)
        assert address.peer is not None
        return address.peer


def test_a_node_is_called_when_the_operator_says_so_and_why_it_is_not_is_said() -> None:
    peer = PeerId.of(Did.parse(OTHER))

    async def test(world: World) -> None:
        async def connect(address: str) -> Answer:
            return await world.client.post("/network/connect", {"address": address})

        disabled = await connect(f"/ip4/127.0.0.1/tcp/7000/p2p/{peer}")
        assert (disabled.status, disabled.json["code"]) == (409, "network.disabled")
        world.node.caller = Town()
        done = await connect(f"/dns4/node.example.org/tcp/7000/p2p/{peer}")
        assert (done.status, done.json["peer_id"], done.json["did"]) == (200, str(peer), OTHER)
        for address, status, code, words in (
            (f"/ip4/127.0.0.1/tcp/1/p2p/{peer}", 503, "network.nobody_answers", "Connection refused"),
            (f"/ip4/127.0.0.1/tcp/2/p2p/{peer}", 409, "network.cannot_connect", "our own address"),
            ("/ip4/127.0.0.1/tcp/7000", 422, "invalid", "/p2p/<peer id>"),
            (f"/ip4/127.0.0.1/tcp/0/p2p/{peer}", 422, "invalid", "port 0"),
            ("node.example.org:7000", 422, "invalid", "/ip4/192.0.2.1/tcp/7000"),
        ):
            answer = await connect(address)
            assert (answer.status, answer.json["code"]) == (status, code)
            assert words in answer.json["detail"]

    run(test)


def test_invitations_are_issued_listed_and_taken_back() -> None:
    async def test(world: World) -> None:
        body = {"addresses": ["/ip4/10.0.0.1/tcp/7000"], "note": "bakers", "expires_seconds": 60, "for_node": OTHER}
        issued = await world.client.post("/federation/invite", body, idempotency_key="one")
        assert issued.status == 201
        assert issued.json["line"].startswith("icn-invite:")
        again = await world.client.post("/federation/invite", body, idempotency_key="one")
        assert again.json == issued.json, "a repeated request gives the same line"
        listed = (await world.client.get("/federation/invitations")).json["items"]
        assert [(one["id"], one["state"], one["for_node"], one["note"]) for one in listed] == [
            (issued.json["id"], "open", OTHER, "bakers")
        ]
        assert "line" not in listed[0], "whoever may read must not be able to join by it"
        revoked = await world.client.post("/federation/invitations/revoke", {"id": issued.json["id"]})
        assert (revoked.status, revoked.json["revoked"]) == (200, True)
        twice = await world.client.post("/federation/invitations/revoke", {"id": issued.json["id"]})
        assert (twice.status, twice.json["code"]) == (409, "invitation.revoked")
        assert (await world.client.get("/federation/invitations")).json["items"][0]["state"] == "revoked"
        nowhere = await world.client.post("/federation/invite", {})
        assert nowhere.status == 422, "this node listens for no peers"

    run(test)


def test_what_cannot_be_joined_is_refused() -> None:
    async def test(world: World) -> None:
        body = {"addresses": ["/ip4/10.0.0.1/tcp/7000"]}
        line = (await world.client.post("/federation/invite", body)).json["line"]
        for asked, status, said in (
            ({}, 422, "name one"),
            ({"invitation": line, "address": "/ip4/10.0.0.1/tcp/7000"}, 422, "name one"),
            ({"invitation": line[:-9]}, 422, "was cut"),
            ({"invitation": line}, 409, "belongs to a federation"),
            ({"address": "/ip4/10.0.0.1/tcp/7000"}, 422, "impostor"),
            ({"address": "nowhere"}, 422, "multiaddr"),
        ):
            refused = await world.client.post("/federation/join", asked)
            assert (refused.status, said in refused.json["detail"]) == (status, True), refused.json

    run(test)


def test_a_node_that_is_alone_founds_another_federation_on_request() -> None:
    async def test(world: World) -> None:
        wrong = await world.client.post("/federation/init", {"name": "x" * 65})
        assert wrong.status == 422
        begun = await world.client.post("/federation/init", {"name": "bakers"})
        assert (begun.status, "archive" in begun.json["state"]) == (202, True)
        again = await world.client.post("/federation/init", {})
        assert (again.status, again.json["code"]) == (503, "federation.changing")

    run(test)


def test_a_node_that_leaves_says_so_and_writes_no_more() -> None:
    async def test(world: World) -> None:
        left = await world.client.post("/federation/leave", {"for_good": True})
        assert (left.status, left.json["node"], left.json["left"]) == (200, world.did, True)
        assert left.json["block"]
        status = (await world.client.get("/federation/status")).json
        assert (status["state"], status["quorum"], status["members"][0]["left"]) == ("left", 1, True)
        assert "can found or join another" in status["waiting_for"]
        again = await world.client.post("/federation/leave", {"for_good": True})
        assert (again.status, again.json["code"]) == (409, "federation.node_left")
        ready = await world.client.get("/ready")
        assert ready.status == 503

    run(test)


def test_metrics_count_requests_by_template() -> None:
    async def test(world: World) -> None:
        await world.client.get(f"/account/{world.did}/mana")
        await world.client.get("/nowhere")
        answer = await world.client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        text = answer.body.decode()
        assert 'icn_http_requests_total{method="GET",route="/account/{did}/mana",status="200"} 1.0' in text
        assert 'route="(none)",status="404"' in text
        assert world.did not in text
        assert KEY not in text

    run(test)


def test_a_repeated_request_key_gives_the_same_answer_and_moves_mana_once() -> None:
    async def test(world: World) -> None:
        await world.open_account(MEMBER)
        body = {"to": MEMBER, "amount": 3}
        first = await world.client.post("/mana/transfer", body, idempotency_key="k1")
        again = await world.client.post("/api/v1/mana/transfer", body, idempotency_key="k1")
        assert (again.status, again.json) == (200, first.json)
        assert (await world.client.get(f"/account/{world.did}/mana")).json["balance"] == GRANT - 3
        other = await world.client.post("/mana/transfer", body | {"amount": 4}, idempotency_key="k1")
        assert (other.status, other.json["code"]) == (409, "request.key_reused")

    run(test)


def test_a_job_without_a_price_gets_the_one_that_info_publishes() -> None:
    async def test(world: World) -> None:
        rates = (await world.client.get("/info")).json["rates"]
        assert rates == {"minimum": 1, "per_million_fuel": 1, "per_gib_memory": 0, "per_gib_transferred": 0}
        taken = await world.client.post("/mesh/submit", {"fuel": 7_000_001})
        assert (taken.status, taken.json["held"]) == (202, 8 * rates["per_million_fuel"])

    run(test)


def test_a_long_block_arrives_whole_in_slices_and_says_its_length() -> None:
    async def test(world: World) -> None:
        data = bytes(range(256)) * 1000
        put = await world.client.post("/dag/put", {"data": base64.b64encode(data).decode()})
        got = await world.client.get(f"/dag/blocks/{put.json['cid']}")
        assert got.body == data
        assert got.headers["content-length"] == str(len(data))
        assert got.headers["x-content-cid"] == put.json["cid"]

    run(test)


def test_what_cannot_be_voted_on_is_refused() -> None:
    async def test(world: World) -> None:
        for asked, status, code in (
            ({"did": OTHER, "for_good": True}, 404, "federation.unknown_node"),
            ({"did": world.did, "for_good": True}, 409, "federation.removes_itself"),
            ({"did": OTHER}, 422, "http.invalid_request"),
            ({"did": OTHER, "for_good": True, "reason": "x" * 241}, 422, "http.invalid_request"),
        ):
            refused = await world.client.post("/federation/remove", asked)
            assert (refused.status, refused.json["code"]) == (status, code), refused.json

    run(test)
