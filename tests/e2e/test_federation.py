"""Three real nodes, and a fourth that comes late: joining, jobs elsewhere, agreement, coming back, and strangers."""

import pytest
from node_process import NodeProcess, base64_of, wait_until

from icn.kernel.signing import SeedSigner
from support.federations import metric
from support.processes import Nodes, cli, ended_job, same_root

pytestmark = pytest.mark.slow

LATE_BLOCKS = 300
TERMS = ("--set", "federation.initial_grant=100000", "--set", "federation.mana_cap=100000")
MEMBER = str(SeedSigner(b"f" * 32).did)


@pytest.fixture(scope="module")
def three(module_nodes: Nodes) -> list[NodeProcess]:
    """A, which executes nothing; B and C, which joined by A's address."""
    home = module_nodes.start("a", "--set", "performance.max_concurrent_jobs=0", *TERMS)
    others = [module_nodes.make(name, "--bootstrap-peers", home.p2p) for name in ("b", "c")]
    for node in others:
        node.launch()
    for node in others:
        wait_until(f"{node.name} to be ready", lambda node=node: node.is_ready)
    found = [home, *others]
    wait_until("three members everywhere", lambda: all(len(members(node)) == 3 for node in found) and same_root(found))
    return found


def members(node: NodeProcess) -> list[str]:
    return [member["did"] for member in node.ask("GET", "/federation/status")["members"] if member["joined"]]


def state(node: NodeProcess) -> str:
    return str(node.ask("GET", "/federation/status")["state"])


def quiet(nodes: list[NodeProcess]) -> bool:
    """Nothing is held or under way, and all agree."""
    supplies = [node.ask("GET", "/mana/supply") for node in nodes]
    return all(one["held"] == 0 and one["in_transit"] == 0 for one in supplies) and same_root(nodes) is not None


def balances(node: NodeProcess, nodes: list[NodeProcess]) -> list[int]:
    return [node.ask("GET", f"/account/{other.did}/mana")["balance"] for other in nodes]


def test_three_nodes_are_one_federation(three: list[NodeProcess]) -> None:
    told = [node.ask("GET", "/federation/status") for node in three]
    assert len({one["id"] for one in told}) == 1
    assert [one["state"] for one in told] == ["member", "waiting for admission", "waiting for admission"]
    assert all(sorted(members(node)) == sorted(node.did for node in three) for node in three)
    for node in three:
        wait_until("readiness", lambda node=node: node.call("GET", "/ready")[0] == 200)


def test_who_is_admitted_has_a_say_and_a_grant(three: list[NodeProcess]) -> None:
    home = three[0]
    for node in three[1:]:
        told = cli(home, "federation", "admit", node.did)
        assert told.code == 0, told.err
    wait_until("their membership", lambda: all(state(node) == "member" for node in three))
    wait_until("agreement", lambda: quiet(three))
    for node in three:
        status = node.ask("GET", "/federation/status")
        assert (len(status["members"]), status["quorum"]) == (3, 2)
        assert all(member["admitted"] for member in status["members"])
        assert cli(node, "federation", "status").code == 0
    again = cli(home, "federation", "admit", three[1].did)
    assert again.code == 1
    assert "admitted already" in again.err


def test_peers_are_listed(three: list[NodeProcess]) -> None:
    home, second, third = three
    wait_until("two peers", lambda: len(home.ask("GET", "/network/peers")["items"]) == 2)
    peers = home.ask("GET", "/network/peers")["items"]
    assert {peer["did"] for peer in peers} == {second.did, third.did}
    assert {peer["direction"] for peer in peers} == {"accepted"}
    told = cli(second, "network", "peers", "--output", "json")
    assert told.code == 0, told.err
    dialed = {item["address"]: item for item in told.json()["dialing"]}
    assert dialed[home.p2p]["last_error"] is None
    for_people = cli(second, "network", "peers")
    assert home.http.partition(":")[0] in for_people.out


def test_blocks_travel_by_gossip_and_nobody_is_thought_ill_of(three: list[NodeProcess]) -> None:
    home = three[0]
    before = [metric(node, 'icn_gossip_messages_total{verdict="accept"}') for node in three]
    home.ask("POST", "/account/open", {"did": str(SeedSigner(b"g" * 32).did)})
    wait_until("agreement", lambda: quiet(three))
    for node, accepted in zip(three[1:], before[1:], strict=True):
        assert metric(node, 'icn_gossip_messages_total{verdict="accept"}') > accepted
        assert metric(node, 'icn_gossip_messages_total{verdict="reject"}') == 0
        assert metric(node, "icn_gossip_mesh_peers") >= 1
    assert metric(home, "icn_gossip_published_total") > 0
    scores = [peer["gossip_score"] for node in three for peer in node.ask("GET", "/network/peers")["items"]]
    assert min(scores) >= 0


def test_a_job_runs_elsewhere_and_all_agree_on_who_paid(three: list[NodeProcess]) -> None:
    home = three[0]
    wait_until("quiet", lambda: quiet(three))
    before = balances(home, three)
    body = {"module": None, "input_base64": base64_of(b"pears"), "max_price": 900, "fuel": 500_000_000}
    job = home.ask("POST", "/mesh/submit", body)["job_id"]
    done = ended_job(home, job)
    assert done["status"] == "completed"
    assert done["executor"] in {node.did for node in three[1:]}
    wait_until("the settlement everywhere", lambda: quiet(three))
    after = balances(home, three)
    earner = [node.did for node in three].index(done["executor"])
    changes = [late - early for late, early in zip(after, before, strict=True)]
    assert changes[0] == -done["paid"]
    assert changes[earner] == done["paid"]
    assert sum(changes) == 0
    assert done["paid"] > 0
    for node in three:
        assert balances(node, three) == after
        assert node.ask("GET", "/mana/supply") == home.ask("GET", "/mana/supply")
        assert node.ask("GET", f"/mesh/jobs/{job}/output") == b"pears", "its output can be had anywhere"
        assert node.ask("POST", "/mesh/verify", {"job_id": job})["matches"]


def test_a_node_that_was_killed_is_found_again_at_its_ports(three: list[NodeProcess]) -> None:
    home, second, _ = three
    address, did = second.p2p, second.did
    second.kill()
    wait_until("its absence to be noticed", lambda: second.did not in peers_of(home))
    home.ask("POST", "/account/open", {"did": MEMBER}, key="member")
    second.start()
    assert (second.p2p, second.did) == (address, did)
    wait_until("it to be a peer again", lambda: second.did in peers_of(home))
    wait_until("it to have what it missed", lambda: same_root(three))
    assert second.ask("GET", f"/account/{MEMBER}/mana")["home"] == home.did


def test_the_node_that_all_dial_is_found_again(three: list[NodeProcess]) -> None:
    home = three[0]
    home.kill()
    wait_until("its absence to be noticed", lambda: all(home.did not in peers_of(node) for node in three[1:]))
    home.start()
    wait_until("both to dial it again", lambda: len(peers_of(home)) == 2)
    wait_until("agreement", lambda: quiet(three))


def test_who_comes_late_gets_everything(three: list[NodeProcess], module_nodes: Nodes) -> None:
    home = three[0]
    home.ask("POST", "/account/open", {"did": MEMBER}, key="member")
    blocks = home.ask("GET", "/dag/root")["blocks"]
    for number in range(LATE_BLOCKS):
        home.ask("POST", "/mana/transfer", {"to": MEMBER, "amount": 1}, key=f"late-{number}")
    assert home.ask("GET", "/dag/root")["blocks"] >= blocks + LATE_BLOCKS
    late = module_nodes.start("late", "--bootstrap-peers", home.p2p)
    everybody = [*three, late]
    wait_until("four members", lambda: all(len(members(node)) == 4 for node in everybody))
    wait_until("agreement", lambda: quiet(everybody))
    assert (
        late.ask("GET", f"/account/{MEMBER}/mana")["balance"] == home.ask("GET", f"/account/{MEMBER}/mana")["balance"]
    )
    assert late.ask("GET", "/dag/verify?deep=true")["ok"]
    wait_until("readiness", lambda: late.call("GET", "/ready")[0] == 200)
    assert late.stop()[0] == 0


def test_a_node_of_another_federation_is_refused_and_told_why(three: list[NodeProcess], module_nodes: Nodes) -> None:
    home = three[0]
    stranger = module_nodes.start("stranger", "--federation-name", "elsewhere")
    assert members(stranger) == [stranger.did]
    root = stranger.ask("GET", "/dag/root")["root"]
    assert stranger.stop()[0] == 0
    stranger.start("--bootstrap-peers", home.p2p)

    def said(node: NodeProcess, other: NodeProcess) -> list[str]:
        peer = other.p2p.rpartition("/")[2]
        return [line for line in node.log if '"peer dropped"' in line and peer in line and "federation" in line]

    wait_until("both to say why", lambda: said(stranger, home) and said(home, stranger))
    assert any(item["address"] == home.p2p for item in stranger.ask("GET", "/network/peers")["dialing"])
    assert stranger.did not in members(home)
    assert stranger.ask("GET", "/dag/root")["root"] == root
    assert stranger.ask("GET", "/federation/status")["name"] == "elsewhere"
    assert home.p2p in cli(stranger, "network", "peers").out


def peers_of(node: NodeProcess) -> set[str]:
    return {peer["did"] for peer in node.ask("GET", "/network/peers")["items"]}
