"""Results that are not taken on trust, over real sockets: executors must agree, or the home runs the job again."""

import pytest
from node_process import NodeProcess, base64_of, wait_until

from icn.adapters.wasm.text import compile_text
from support.processes import Nodes, ended_job, same_root

pytestmark = pytest.mark.slow

TERMS = ("--set", "federation.initial_grant=100000", "--set", "federation.mana_cap=100000")
ONE_PLACE = ("--set", "performance.max_concurrent_jobs=1")
ANSWER = compile_text('(module (func (export "run") (result i64) i64.const 42))')
CONFIRMED = 'icn_rechecks_total{finding="confirmed"}'
OUTPUT = (42).to_bytes(8, "little")


@pytest.fixture(scope="module")
def four(module_nodes: Nodes) -> list[NodeProcess]:
    """A home that takes no job, but runs those of single executors again before it pays, and three executors."""
    home = module_nodes.start(
        "home", "--set", "performance.max_concurrent_jobs=0", "--set", "mesh.recheck=always", *TERMS
    )
    others = [module_nodes.make(name, "--bootstrap-peers", home.p2p, *ONE_PLACE) for name in ("b", "c", "d")]
    for node in others:
        node.launch()
    for node in others:
        wait_until(f"{node.name} to be ready", lambda node=node: node.is_ready)
    for node in others:
        wait_until(f"{node.name} to have joined", lambda node=node: node.did in joined(home))
        home.ask("POST", "/federation/admit", {"did": node.did})
    found = [home, *others]
    wait_until("everybody to have everything", lambda: same_root(found))
    return found


def joined(node: NodeProcess) -> list[str]:
    return [member["did"] for member in node.ask("GET", "/federation/status")["members"] if member["joined"]]


def submit(home: NodeProcess, **more: object) -> str:
    module = home.ask("POST", "/dag/put", {"data": base64_of(ANSWER)})["cid"]
    body = {"module": module, "max_price": 500, "fuel": 1_000_000} | more
    return str(home.ask("POST", "/mesh/submit", body)["job_id"])


def balance(node: NodeProcess, did: str) -> int:
    return int(node.ask("GET", f"/account/{did}/mana")["balance"])


def test_three_executors_agree_and_each_is_paid_once(four: list[NodeProcess]) -> None:
    home, *_ = four
    before = {node.did: balance(home, node.did) for node in four}
    job = submit(home, redundancy=3)
    done = ended_job(home, job)
    assert done["status"] == "completed", done
    parties = done["parties"]
    assert len({party["executor"] for party in parties}) == 3
    assert {party["part"] for party in parties} == {"agreed"}, done
    assert len({party["receipt_cid"] for party in parties}) == 3, "each signed a receipt of its own"
    wait_until("the settlement everywhere", lambda: settled(four))
    paid = {did: balance(home, did) - had for did, had in before.items()}
    assert sum(paid.values()) == 0
    assert all(paid[party["executor"]] > 0 for party in parties)
    for node in four:
        assert node.ask("GET", f"/mesh/jobs/{job}/output") == OUTPUT


def test_a_home_that_runs_a_job_again_pays_what_it_found_right(four: list[NodeProcess]) -> None:
    home, *_ = four
    wait_until("quiet", lambda: settled(four))
    before = confirmed(home)
    done = ended_job(home, submit(home))
    assert done["status"] == "completed", done
    assert done["executor"] != home.did
    wait_until("the home to have run it, too", lambda: confirmed(home) == before + 1)
    assert done["disputes"] == []
    assert done["paid"] > 0
    wait_until("the settlement everywhere", lambda: settled(four))


def confirmed(node: NodeProcess) -> float:
    """How many results this node confirmed by running the job again."""
    (line,) = [line for line in str(node.ask("GET", "/metrics"), "utf-8").splitlines() if line.startswith(CONFIRMED)]
    return float(line.split()[-1])


def settled(nodes: list[NodeProcess]) -> bool:
    """Nothing is held or in transit, and all agree."""
    supplies = [node.ask("GET", "/mana/supply") for node in nodes]
    assert all(one["balanced"] for one in supplies)
    return all(one["held"] == 0 and one["in_transit"] == 0 for one in supplies) and same_root(nodes) is not None
