"""Real nodes that are one federation, people who write to them, and what must hold of what was acknowledged."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from node_process import NodeError, NodeProcess, wait_until  # type: ignore[import-not-found] # on pytest's path

from icn.kernel.signing import SeedSigner
from support.processes import same_root

GRANT = 1_000_000
TERMS = (
    *("--set", f"federation.initial_grant={GRANT}", "--set", f"federation.mana_cap={GRANT}"),
    *("--set", "performance.mana_regeneration_rate=0"),
)
"""For the founder: nothing is minted while nobody looks, so that balances can be compared."""
BETWEEN_WRITES = 0.05
ELSEWHERE_EVERY = 3
"""So many transfers of one writer: the last of them goes to another node's account."""


def joined(node: NodeProcess) -> set[str]:
    """Who is a member, as this node knows."""
    return {member["did"] for member in node.ask("GET", "/federation/status")["members"] if member["joined"]}


def balance(node: NodeProcess, did: str) -> int:
    """What somebody has, as this node knows."""
    return int(node.ask("GET", f"/account/{did}/mana")["balance"])


def admit(found: Sequence[NodeProcess], newcomers: Sequence[NodeProcess], within: float = 60.0) -> None:
    """The first of `found` admits these; returns when everybody knows it, and they have their grants."""
    everybody = [*found, *(node for node in newcomers if node not in found)]
    dids = {node.did for node in everybody}
    wait_until("the same members everywhere", lambda: all(joined(node) >= dids for node in everybody), within)
    for node in newcomers:
        found[0].ask("POST", "/federation/admit", {"did": node.did})
    wait_until(
        "their grants",
        lambda: all(_endowed(node) for node in newcomers) and same_root(everybody),
        within,
    )


def _endowed(node: NodeProcess) -> bool:
    status = node.ask("GET", "/federation/status")
    return any(member["did"] == node.did and member["admitted"] for member in status["members"]) and bool(
        balance(node, node.did)
    )


def metric(node: NodeProcess, name: str) -> float:
    """A metric without labels, as the node exposes it now."""
    lines = node.ask("GET", "/metrics").decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith(name + " "))


@dataclass
class Writer:
    """Sends mana from one node, one transfer after the other, and remembers what was acknowledged."""

    node: NodeProcess
    member: str
    """Whose account this node keeps, beside its own."""
    others: Sequence[str]
    tried: int = 0
    acknowledged: list[str] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)

    def write(self, stop: threading.Event) -> None:
        """Until told to stop. What got no answer may have been done or not, and is no acknowledged write."""
        while not stop.wait(BETWEEN_WRITES):
            self.tried += 1
            note = f"{self.member[-8:]} {self.tried}"
            away = self.tried % ELSEWHERE_EVERY == 0
            to = self.others[self.tried // ELSEWHERE_EVERY % len(self.others)] if away else self.member
            try:
                status, answer = self.node.call("POST", "/mana/transfer", {"to": to, "amount": 1, "note": note})
            except OSError as error:
                self.troubles[type(error).__name__] += 1
                continue
            if status < 300:
                self.acknowledged.append(note)
            else:
                self.troubles[str(answer.get("code", status))] += 1


def writers(nodes: Sequence[NodeProcess]) -> list[Writer]:
    """One at each node; each sends to a member at home, and to all other nodes."""
    found = []
    for number, node in enumerate(nodes):
        member = str(SeedSigner(bytes([100 + number]) * 32).did)
        node.ask("POST", "/account/open", {"did": member}, key=f"open-{member}")
        found.append(Writer(node, member, [other.did for other in nodes if other is not node]))
    return found


@contextmanager
def writing(people: Sequence[Writer]) -> Iterator[None]:
    """They write meanwhile."""
    stop = threading.Event()
    threads = [threading.Thread(target=writer.write, args=(stop,)) for writer in people]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def acknowledged(people: Sequence[Writer]) -> list[int]:
    """How many each has by now."""
    return [len(writer.acknowledged) for writer in people]


def settled(nodes: Sequence[NodeProcess]) -> bool:
    """Nothing is held or in transit, and all have the same root."""
    try:
        supplies = [node.ask("GET", "/mana/supply") for node in nodes]
    except (OSError, NodeError):
        return False
    return all(one["held"] == 0 and one["in_transit"] == 0 for one in supplies) and same_root(nodes) is not None


def notes(node: NodeProcess) -> Counter[str]:
    """Of every transfer in the node's journal, how often it stands there."""
    found = Counter[str]()
    for kind in ("ledger.transferred", "ledger.transfer_sent"):
        cursor = ""
        while True:
            page = node.ask("GET", f"/events?type={kind}&limit=500{cursor}")
            found.update(item["event"]["note"] for item in page["items"])
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
    return found


def check_nothing_lost(nodes: Sequence[NodeProcess], people: Sequence[Writer], *, deep: bool) -> None:
    """After all is settled: every acknowledged write is everywhere, once; states are equal; mana was conserved.

    `deep`: and on every node a replay of its journal gives that state.
    """
    wanted = [note for writer in people for note in writer.acknowledged]
    assert wanted
    for node in nodes:
        there = notes(node)
        missing = [note for note in wanted if there[note] == 0]
        assert not missing, f"{node.name} lacks {len(missing)} acknowledged writes, first {missing[:3]}"
        assert max(there.values()) == 1, f"{node.name} has a transfer twice"
    dids = [*(other.did for other in nodes), *(writer.member for writer in people)]
    states: list[dict[str, Any]] = []

    def equal() -> bool:
        states[:] = [_state(node, dids) for node in nodes]
        return all(state == states[0] for state in states)

    # Nodes acknowledge each other's news a moment later, in blocks of their own.
    wait_until("equal states", equal)
    supply = states[0]["supply"]
    assert supply["balanced"]
    assert sum(states[0]["balances"].values()) == supply["minted"] - supply["burned"]
    for node in nodes if deep else ():
        verdict = node.ask("GET", "/dag/verify?deep=true")
        assert verdict["ok"], f"{node.name}: {verdict}"


def _state(node: NodeProcess, dids: Sequence[str]) -> dict[str, Any]:
    members = node.ask("GET", "/federation/status")["members"]
    return {
        "root": node.ask("GET", "/dag/root")["root"],
        "supply": node.ask("GET", "/mana/supply"),
        "balances": {did: balance(node, did) for did in dids},
        "members": sorted(members, key=lambda member: member["did"]),
    }
