"""`make demo`: three real nodes on this machine, a real job, a signed receipt, a killed node that comes back.

Everything printed was measured or checked just before. Exits 1 when anything is off.
"""

import base64
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node_process import NodeError, NodeProcess, base64_of, wait_until

from icn.adapters.wasm.text import compile_text
from icn.domain.mesh.papers import open_receipt
from icn.kernel.ids import RAW, Cid

ROOT = Path(__file__).resolve().parent.parent
BELOW = 200_000
BELOW_SLOW = 20_000_000
SLOW_FUEL = 60_000_000_000
MAX_PRICE = 70_000
PRICE_FLAGS = ("--set", "mesh.price_per_million_fuel=1", "--set", "federation.initial_grant=100000")
CAP_FLAG = ("--set", "federation.mana_cap=100000")


class Off(Exception):
    """Something is not as it should be."""


def check(condition: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """One line per thing checked."""
    if not condition:
        raise Off(what)
    print(f"   \033[32m✓\033[0m {what}" if sys.stdout.isatty() else f"   ok  {what}")


def title(text: str) -> None:
    """A new scene."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


def short(did: str) -> str:
    """A DID people can tell apart."""
    return f"…{did[-8:]}"


def primes_below(limit: int) -> int:
    """Counted again, independently of the module."""
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return sum(sieve)


def submit(home: NodeProcess, module: str, below: int, *, fuel: int, wall_ms: int, key: str) -> str:
    """A job for the primes module."""
    body = {
        "module": module,
        "args": [str(below)],
        "max_price": MAX_PRICE,
        "fuel": fuel,
        "wall_ms": wall_ms,
        "deadline_seconds": 120,
    }
    return str(home.ask("POST", "/mesh/submit", body, key=key)["job_id"])


def job(node: NodeProcess, job_id: str) -> dict[str, Any]:
    """A job as `node` knows it."""
    answer: dict[str, Any] = node.ask("GET", f"/mesh/jobs/{job_id}")
    return answer


def ended(node: NodeProcess, job_id: str) -> Callable[[], dict[str, Any] | None]:
    """The job, once it has ended."""

    def look() -> dict[str, Any] | None:
        found = job(node, job_id)
        return found if found["status"] in {"completed", "failed", "cancelled"} else None

    return look


def roots(nodes: list[NodeProcess]) -> list[str]:
    """The DAG root on each."""
    return [node.ask("GET", "/dag/root")["root"] for node in nodes]


def same_roots(nodes: list[NodeProcess]) -> str | None:
    """The root, when all agree."""
    found = roots(nodes)
    return found[0] if len(dict.fromkeys(found)) == 1 else None


def settled(nodes: list[NodeProcess]) -> bool:
    """Whether nothing is held or in transit anywhere any more and all agree on the DAG."""
    supplies = [node.ask("GET", "/mana/supply") for node in nodes]
    quiet = all(supply["held"] == 0 and supply["in_transit"] == 0 for supply in supplies)
    return quiet and same_roots(nodes) is not None


def balances(node: NodeProcess, nodes: list[NodeProcess]) -> list[int]:
    """Every node's own balance, as `node` sees it."""
    return [node.ask("GET", f"/account/{other.did}/mana")["balance"] for other in nodes]


def main() -> int:
    """The story, scene by scene."""
    folder = Path(tempfile.mkdtemp(prefix="icn-demo-"))
    begun = time.monotonic()
    nodes: list[NodeProcess] = []
    try:
        play(folder, nodes)
    except (Off, NodeError, OSError) as error:
        print(f"\nOFF: {error}", file=sys.stderr)
        for node in nodes:
            print(f"\n--- {node.name} said last ---\n{node.last_words()}", file=sys.stderr)
        return 1
    finally:
        for node in nodes:
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\nAll of it took {time.monotonic() - begun:.1f} s.")
    return 0


def play(folder: Path, nodes: list[NodeProcess]) -> None:
    """Raises when anything is off."""
    title("Three cooperatives start a node each, and federate over libp2p on loopback")
    start = time.monotonic()
    home = NodeProcess("A", folder / "a", "--set", "performance.max_concurrent_jobs=0", *PRICE_FLAGS, *CAP_FLAG)
    nodes.append(home)
    home.start()
    for name in ("B", "C"):
        flags = ("--set", "performance.max_concurrent_jobs=2", "--bootstrap-peers", home.p2p)
        node = NodeProcess(name, folder / name.lower(), *flags)
        nodes.append(node)
        node.start()
    for node in nodes:
        print(f"   {node.name}  {short(node.did)}  http {node.http}  {node.p2p.partition('/p2p/')[0]}")
    wait_until(
        "three members everywhere",
        lambda: (
            all(node.ask("GET", "/federation/status")["members"].__len__() == 3 for node in nodes) and same_roots(nodes)
        ),
    )
    check(condition=True, what=f"three members on all three, equal DAG roots, after {time.monotonic() - start:.1f} s")

    title("A wants primes counted: a WASM module compiled from its source in examples/primes")
    module_bytes = compile_text((ROOT / "examples" / "primes" / "primes.wat").read_text())
    module = home.ask("POST", "/dag/put", {"data": base64_of(module_bytes), "pin": True})["cid"]
    check(module == str(Cid.of(module_bytes, RAW)), f"module of {len(module_bytes)} bytes stored as {module}")
    before = balances(home, nodes)
    start = time.monotonic()
    first = submit(home, module, BELOW, fuel=2_000_000_000, wall_ms=20_000, key="first-job")
    done = wait_until("the first job", ended(home, first), 60)
    took = time.monotonic() - start
    check(done["status"] == "completed", f"{first} {done['status']} in {took * 1000:.0f} ms {done['reason']}")
    executor = next(node for node in nodes if node.did == done["executor"])
    third = next(node for node in nodes if node not in {home, executor})
    check(executor is not home, f"executed by {executor.name}, not by its home A")
    output = home.ask("GET", f"/mesh/jobs/{first}/output")
    check(int(output) == primes_below(BELOW), f"output fetched: {int(output)} primes below {BELOW}, counted again here")

    title("The receipt can be checked by anybody")
    sealed = home.ask("GET", f"/mesh/receipts/{first}")
    receipt = open_receipt(base64.b64decode(sealed["receipt_base64"]))
    check(str(receipt.executor) == executor.did, f"signature of {executor.name} {short(executor.did)} is good")
    check(str(receipt.output) == str(Cid.of(output, RAW)), f"it names the output {receipt.output}")
    wait_until("the news to reach everybody", lambda: same_roots(nodes))
    verdict = third.ask("POST", "/mesh/verify", {"job_id": first})
    check(bool(verdict["signature_ok"] and verdict["matches"]), f"{third.name} ran it again: same output CID")
    fuel = verdict["reexecuted"]["fuel_used"]
    check(fuel == receipt.fuel_used, f"and the same fuel, {fuel:,} units (profile {receipt.profile[:40]}…)")

    title("Mana moved, and none was made or lost")
    wait_until("settlement everywhere", lambda: settled(nodes))
    after = balances(home, nodes)
    price = done["paid"]
    check(after[0] == before[0] - price, f"A paid {price} mana: {before[0]} -> {after[0]}")
    index = nodes.index(executor)
    check(after[index] == before[index] + price, f"{executor.name} earned it: {before[index]} -> {after[index]}")
    check(all(balances(node, nodes) == after for node in nodes), "all three nodes know the same balances")
    supplies = [node.ask("GET", "/mana/supply") for node in nodes]
    supply = supplies[0]
    check(all(each == supply and each["balanced"] for each in supplies), f"supply identity holds on all: {supply}")
    root = wait_until("equal DAG roots", lambda: same_roots(nodes))  # what was settled is still being acknowledged
    check(condition=True, what=f"equal DAG roots: {root[:16]}…")

    title("A is killed with SIGKILL in the middle of a second job, and comes back")
    second = submit(home, module, BELOW_SLOW, fuel=SLOW_FUEL, wall_ms=60_000, key="second-job")
    wait_until("the second job is executing", lambda: job(home, second)["status"] == "executing")
    did, members = home.did, len(home.ask("GET", "/federation/status")["members"])
    home.kill()
    check(home.process is not None and home.process.returncode == -9, "A is gone (SIGKILL) while the job executes")
    start = time.monotonic()
    home.start()
    back = time.monotonic() - start
    check(home.did == did, f"A is back after {back:.2f} s with the same DID {short(did)}")
    check(len(home.ask("GET", "/federation/status")["members"]) == members, "and knows its federation")
    check(job(home, first)["status"] == "completed", "and its first job")
    done = wait_until("the second job", ended(home, second), 90)
    check(done["status"] == "completed", f"the second job completed {done['reason']}")
    output = home.ask("GET", f"/mesh/jobs/{second}/output")
    check(int(output) == primes_below(BELOW_SLOW), f"with the right answer: {int(output)} primes below {BELOW_SLOW}")
    check(done["attempt"] == 1, "in its first attempt: the work of the executor was not lost")
    wait_until("settlement everywhere", lambda: settled(nodes))
    wait_until("equal DAG roots", lambda: same_roots(nodes))
    check(condition=True, what="equal DAG roots on all three again")
    again = submit(home, module, BELOW_SLOW, fuel=SLOW_FUEL, wall_ms=60_000, key="second-job")
    check(again == second, "the same request key still gives the same job: nothing is done or paid twice")

    title("Everybody verifies the store and stops")
    for node in nodes:
        verdict = node.ask("GET", "/dag/verify?deep=true")
        check(bool(verdict["ok"]), f"{node.name}: deep verification of {verdict['checked']['blocks']} blocks is clean")
    for node in reversed(nodes):
        code, seconds = node.stop()
        check(code == 0 and seconds < 5, f"{node.name} stopped cleanly in {seconds:.2f} s")


if __name__ == "__main__":
    sys.exit(main())
