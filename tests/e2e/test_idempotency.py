"""A request key means one thing, for as long as the node lives and after it was killed."""

import pytest
from node_process import base64_of

from icn.kernel.signing import SeedSigner
from support.processes import Nodes, ended_job

pytestmark = pytest.mark.slow

MEMBER = str(SeedSigner(b"i" * 32).did)


def test_the_same_key_gets_the_same_answer_before_and_after_sigkill(nodes: Nodes) -> None:
    node = nodes.start("node", "--no-p2p")
    writes = {
        "open": ("/account/open", {"did": MEMBER}),
        "pay": ("/mana/transfer", {"to": MEMBER, "amount": 3}),
        "put": ("/dag/put", {"data": base64_of(b"apples")}),
        "job": ("/mesh/submit", {"module": None, "input_base64": base64_of(b"x"), "max_price": 10, "fuel": 1000}),
    }
    first = {key: node.call("POST", path, body, key=key) for key, (path, body) in writes.items()}
    assert [status for status, _ in first.values()] == [201, 200, 201, 202]
    ended_job(node, first["job"][1]["job_id"])
    before = node.ask("GET", "/dag/root")
    for _ in range(2):
        for key, (path, body) in writes.items():
            assert node.call("POST", path, body, key=key) == first[key]
        assert node.ask("GET", "/dag/root") == before, "nothing was done twice"
        node.kill()
        node.start()
    refused = {
        "pay": ("/mana/transfer", {"to": MEMBER, "amount": 4}),
        "open": ("/mana/transfer", {"to": MEMBER, "amount": 3}),
    }
    for key, (path, body) in refused.items():
        status, problem = node.call("POST", path, body, key=key)
        assert status == 409, problem
        assert problem["code"]
    assert node.ask("GET", "/dag/root") == before
    status, _ = node.call("POST", "/mana/transfer", {"to": MEMBER, "amount": 10**9}, key="too-much")
    assert status == 402
    assert node.call("POST", "/mana/transfer", {"to": MEMBER, "amount": 10**9}, key="too-much")[0] == 402
    transfers = node.ask("GET", "/events?type=transferred&limit=500")["items"]
    assert len(transfers) == 1
