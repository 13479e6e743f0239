"""Blocks verified and applied per second on a replica, against the floor of hash and signature alone.

    python bench/bench_replica.py [--blocks 2000] [--transfers 20]

A home writes blocks of transfers; a replica of the same federation takes them as a peer's, through the one path every
block takes (form, name, signature, links, membership, records, rows, commit). Memory stores, so no disk is measured.
The floor, in the same run: SHA-256 and Ed25519 verification of the same bytes.
"""

import argparse
import json
import time
from pathlib import Path

from node_history import forget_signatures

from icn.adapters.clock import SystemClock
from icn.adapters.entropy import SystemEntropy
from icn.adapters.storage.memory import MemoryStore
from icn.domain.dag.block import parse_block
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.kernel.ids import DAG_CBOR, Cid
from icn.kernel.instant import Duration
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner
from icn.protocol.messages import Announce, Hello
from icn.services.commands import Found, OpenAccountFor, Pay
from icn.services.effects import Send
from icn.services.engine import Engine
from icn.services.inputs import PeerUp, Received, Request
from icn.services.opening import open_engine
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms
from icn.stores import blocks

HOME, REPLICA, PAYEE = (SeedSigner(bytes([number]) * 32) for number in (1, 2, 3))
PER_MESSAGE = 100


def engine(signer: SeedSigner, *, joins: bool) -> Engine:
    terms = NodeTerms("bench/1", MeshTerms(Duration(1000), 5), ExecutorTerms(0, Rates(1, 1)), ReplicationTerms(), joins)
    return open_engine(store=MemoryStore(), clock=SystemClock(), entropy=SystemEntropy(), signer=signer, terms=terms)


def feed_of(home: Engine, count: int, transfers: int) -> list[bytes]:
    policy = Policy(JoinPolicy.OPEN, Mana(10**12), Mana(10**12), 10, 100)
    home.handle([Request(0, Found("bench", (HOME.did,), policy), HOME.did, "", b"", "")])
    home.handle([Request(1, OpenAccountFor(PAYEE.did), HOME.did, "", b"", "")])
    for _ in range(count):
        home.handle([Request(n, Pay(PAYEE.did, Mana(1), ""), HOME.did, "", b"", "") for n in range(transfers)])
    return [blocks.get_bytes(home.store, cid) or b"" for _, cid in blocks.journal(home.store)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--blocks", type=int, default=2000)
    parser.add_argument("--transfers", type=int, default=20)
    arguments = parser.parse_args()
    result: dict[str, object] = {}
    for transfers in (1, arguments.transfers):
        home = engine(HOME, joins=False)
        feed = feed_of(home, arguments.blocks, transfers)
        begun = time.perf_counter()
        for data in feed:
            block = parse_block(data)
            if Cid.of(data, DAG_CBOR) != block.cid or not block.is_genuine():
                raise SystemExit("a block of ours is not genuine")
        parsed = time.perf_counter() - begun
        forget_signatures()
        replica = engine(REPLICA, joins=True)
        greeting = home.handle([PeerUp(REPLICA.did)]).effects[0]
        hello = greeting.message if isinstance(greeting, Send) else None
        if not isinstance(hello, Hello):
            raise SystemExit("no greeting")
        replica.handle([PeerUp(HOME.did)])
        replica.handle([Received(HOME.did, hello)])
        begun = time.perf_counter()
        for start in range(0, len(feed), PER_MESSAGE):
            replica.handle([Received(HOME.did, Announce(tuple(feed[start : start + PER_MESSAGE])))])
        took = time.perf_counter() - begun
        if replica.state.feeds.heads[HOME.did].sequence != home.state.feeds.heads[HOME.did].sequence:
            raise SystemExit("the replica does not have it all")
        row = {
            "blocks_per_second": round(len(feed) / took, 1),
            "records_per_second": round(len(feed) * transfers / took, 1),
            "parse_hash_verify_only_per_second": round(len(feed) / parsed, 1),
            "share_of_floor": round(parsed / took, 3),
        }
        result[f"{transfers} transfers per block"] = row
        print(f"{transfers:4} transfers per block: {row}")
    out = Path(__file__).parent / "results" / "replica.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
