"""What a real node does with requests that are wrong: it says so, changes nothing, and goes on."""

import json
import socket
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeProcess, base64_of

from icn.kernel.limits import CONTENT_BYTES_MAX
from icn.kernel.signing import SeedSigner
from support.processes import Nodes

pytestmark = pytest.mark.slow

MEMBER = str(SeedSigner(b"b" * 32).did)
NOBODY = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
CID = "bafkreiaqrho37obovmwkrgdhtdd5h6carbbdhdwty2vr6dqrvibl32dwkq"
JOB = {"module": None, "max_price": 5, "fuel": 1000}
DEEP = "[" * 100_000 + "]" * 100_000
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def node(module_nodes: Nodes) -> NodeProcess:
    found = module_nodes.start("target", "--no-p2p")
    found.ask("POST", "/account/open", {"did": MEMBER})
    return found


def send(
    node: NodeProcess, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    connection = HTTPConnection(node.http, timeout=30)
    try:
        given = {"x-api-key": node.api_key, "content-type": "application/json"} | (headers or {})
        connection.request(method, path, body, {name: value for name, value in given.items() if value})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def standing(node: NodeProcess) -> Any:
    return node.ask("GET", "/dag/root"), node.ask("GET", "/mana/supply")


def assert_problem(answer: Answer, status: int | range) -> dict[str, Any]:
    code, headers, body = answer
    assert code in (status if isinstance(status, range) else (status,)), (code, body[:500])
    assert headers["content-type"].startswith("application/problem+json")
    problem: dict[str, Any] = json.loads(body)
    assert problem["status"] == code
    assert problem["correlation_id"] == headers["x-correlation-id"]
    assert problem["detail"]
    assert problem["code"]
    return problem


BODIES: list[tuple[str, str, bytes]] = [
    ("not JSON", "/mana/transfer", b"amount=5"),
    ("cut off", "/mana/transfer", b'{"to": "'),
    ("empty", "/mana/transfer", b""),
    ("not UTF-8", "/mana/transfer", b'{"to": "\xff\xfe", "amount": 1}'),
    ("a list", "/mana/transfer", b"[]"),
    ("null", "/mana/transfer", b"null"),
    ("nested deeply", "/mana/transfer", DEEP.encode()),
    ("no amount", "/mana/transfer", json.dumps({"to": MEMBER}).encode()),
    ("amount as text", "/mana/transfer", json.dumps({"to": MEMBER, "amount": "5"}).encode()),
    ("amount with a fraction", "/mana/transfer", json.dumps({"to": MEMBER, "amount": 1.5}).encode()),
    ("amount true", "/mana/transfer", json.dumps({"to": MEMBER, "amount": True}).encode()),
    ("amount zero", "/mana/transfer", json.dumps({"to": MEMBER, "amount": 0}).encode()),
    ("amount below zero", "/mana/transfer", json.dumps({"to": MEMBER, "amount": -5}).encode()),
    ("amount beyond all", "/mana/transfer", json.dumps({"to": MEMBER, "amount": 10**30}).encode()),
    ("amount of ten thousand digits", "/mana/transfer", b'{"to": "x", "amount": ' + b"9" * 10_000 + b"}"),
    ("amount not a number", "/mana/transfer", f'{{"to": "{MEMBER}", "amount": NaN}}'.encode()),
    ("unknown field", "/mana/transfer", json.dumps({"to": MEMBER, "amount": 1, "form": NOBODY}).encode()),
    ("no DID", "/mana/transfer", json.dumps({"to": "orchard", "amount": 1}).encode()),
    ("a long note", "/mana/transfer", json.dumps({"to": MEMBER, "amount": 1, "note": "n" * 100_000}).encode()),
    ("lone surrogate", "/mana/transfer", f'{{"to": "{MEMBER}", "amount": 1, "note": "\\ud800"}}'.encode()),
    ("not base64", "/dag/put", json.dumps({"data": "***"}).encode()),
    ("unknown codec", "/dag/put", json.dumps({"data": "", "codec": "git-raw"}).encode()),
    ("not DAG-CBOR", "/dag/put", json.dumps({"data": base64_of(b"\xff"), "codec": "dag-cbor"}).encode()),
    ("kept for less than nothing", "/dag/put", json.dumps({"data": "", "ttl_seconds": -1}).encode()),
    ("no CID", "/dag/get", json.dumps({"cid": "../../etc/passwd"}).encode()),
    ("no module", "/mesh/submit", json.dumps(JOB | {"module": "m.wasm"}).encode()),
    ("price below zero", "/mesh/submit", json.dumps(JOB | {"max_price": -1}).encode()),
    ("fuel beyond all", "/mesh/submit", json.dumps(JOB | {"fuel": 10**18}).encode()),
    ("memory beyond all", "/mesh/submit", json.dumps(JOB | {"memory_bytes": 10**12}).encode()),
    ("a long input", "/mesh/submit", json.dumps(JOB | {"input_base64": base64_of(bytes(300_000))}).encode()),
    ("a thousand arguments", "/mesh/submit", json.dumps(JOB | {"args": ["a"] * 1000}).encode()),
    ("argument with a NUL", "/mesh/submit", json.dumps(JOB | {"args": ["a\0b"]}).encode()),
    ("two inputs", "/mesh/submit", json.dumps(JOB | {"input_base64": "eA==", "input_cid": CID}).encode()),
    ("an account of nobody", "/account/open", json.dumps({"did": "did:web:example.com"}).encode()),
    ("nobody to admit", "/federation/admit", json.dumps({"did": ""}).encode()),
]


@pytest.mark.parametrize(("path", "body"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
def test_a_wrong_body_is_refused_and_changes_nothing(node: NodeProcess, path: str, body: bytes) -> None:
    before = standing(node)
    assert_problem(send(node, "POST", path, body), range(400, 500))
    assert standing(node) == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v2/info", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/v1/api/v1/info", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("DELETE", "/dag/root", 405),
        ("PUT", "/mana/transfer", 405),
        ("GET", "/mana/transfer", 405),
        ("POST", "/health", 405),
        ("GET", f"/account/{NOBODY}/mana", 404),
        ("GET", "/account/orchard/mana", 422),
        ("GET", f"/dag/blocks/{CID}", 404),
        ("GET", "/dag/blocks/nonsense", 422),
        ("GET", "/mesh/jobs/job-nonsense", 422),
        ("GET", "/mesh/jobs?limit=0", 422),
        ("GET", "/mesh/jobs?limit=501", 422),
        ("GET", "/mesh/jobs?limit=many", 422),
        ("GET", "/mesh/jobs?status=happy", 422),
        ("GET", "/mesh/jobs?cursor=%00%ff", 422),
        ("GET", "/mesh/jobs?unknown=1", 422),
        ("GET", "/events?since=yesterday", 422),
        ("GET", "/events?cursor=1", 422),
        ("GET", "/events?actor=orchard", 422),
        ("GET", "/dag/verify?deep=perhaps", 422),
    ],
)
def test_a_wrong_route_method_or_query(node: NodeProcess, method: str, path: str, status: int) -> None:
    before = standing(node)
    assert_problem(send(node, method, path), status)
    assert standing(node) == before


def test_who_may_not_come_in_changes_nothing(node: NodeProcess) -> None:
    before = standing(node)
    body = json.dumps({"to": MEMBER, "amount": 1}).encode()
    for headers in ({"x-api-key": ""}, {"x-api-key": "wrong"}, {"x-api-key": "", "authorization": "Bearer wrong"}):
        problem = assert_problem(send(node, "POST", "/mana/transfer", body, headers), 401)
        assert node.api_key not in json.dumps(problem)
    for key in ("k" * 129, "with space"):
        assert_problem(send(node, "POST", "/mana/transfer", body, {"idempotency-key": key}), range(400, 500))
    assert send(node, "POST", "/mana/transfer", body, {"content-type": "text/plain"})[0] == 415
    assert standing(node) == before


def test_what_is_too_large_is_refused(node: NodeProcess) -> None:
    before = standing(node)
    too_much = json.dumps({"data": base64_of(bytes(CONTENT_BYTES_MAX + 1))}).encode()
    assert_problem(send(node, "POST", "/dag/put", too_much), range(400, 500))
    assert refused_early(node, "/dag/put", 10**9).startswith(b"HTTP/1.1 413")
    assert refused_early(node, "/mana/transfer", 2**21).startswith(b"HTTP/1.1 413")
    assert refused_early(node, "/mana/transfer", 10**30).startswith((b"HTTP/1.1 400", b"HTTP/1.1 413"))
    most = base64_of(bytes(CONTENT_BYTES_MAX))
    cid = node.ask("POST", "/dag/put", {"data": most})["cid"]
    assert node.ask("POST", "/dag/get", {"cid": cid})["data"] == most, "the most that is allowed goes through"
    assert standing(node) == before


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 50_000 + b"\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 100_000_000,
        b"POST /dag/put HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 1_000_000,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /mana/transfer HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /mana/transfer HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /mana/transfer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\0" * 10_000,
    ],
    ids=[
        "newlines",
        "TLS",
        "version",
        "headers",
        "endless header",
        "trailers",
        "long path",
        "length",
        "smuggling",
        "chunks",
        "zeros",
    ],
)
def test_what_is_no_http_ends_that_connection_only(node: NodeProcess, sent: bytes) -> None:
    before = standing(node)
    host, _, port = node.http.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
        except ConnectionError:  # ended before all was sent
            answer = b""
    assert not answer or answer.split()[1][:1] == b"4", answer[:200]
    assert standing(node) == before


def test_the_node_still_serves_and_its_log_knows_no_bug(node: NodeProcess) -> None:
    node.ask("POST", "/mana/transfer", {"to": MEMBER, "amount": 1})
    assert node.ask("GET", "/ready")["ready"]
    assert node.ask("GET", "/dag/verify?deep=true")["ok"]
    bugs = [line for line in node.log if '"critical"' in line or "Traceback" in line]
    assert not bugs, bugs[0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_floods_left_no_memory_behind(node: NodeProcess) -> None:
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])

    assert peak_kib < 400 * 1024, "a hundred megabytes that never became a request were not held"


def refused_early(node: NodeProcess, path: str, length: int) -> bytes:
    """The answer to a request that announces `length` bytes and sends none of them."""
    host, _, port = node.http.partition(":")
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {node.api_key}\r\ncontent-length: {length}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode())
        return connection.recv(4096)
