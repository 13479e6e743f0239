"""Nodes of different versions meet: the one is refused by the other with a reason that both operators can read."""

import asyncio

import pytest
from node_process import wait_until

from icn.kernel.encoding import decode, encode
from icn.kernel.limits import MIB
from icn.protocol.codec import encode_message
from icn.protocol.messages import FEED_PROTOCOL, Blocks, Hello
from support.icn_attacker import Attacker
from support.processes import cli

pytestmark = pytest.mark.slow

OTHER_VERSIONS = "icn_p2p_peers_of_other_version_total"


@pytest.fixture(scope="module")
def node(module_nodes):
    """Of the version that is."""
    return module_nodes.make("current").start()


def dropped_for(node, reason: str) -> bool:
    """Its log says that it dropped a peer for `reason`; what its peer saw may be read here before the log is."""
    told = lambda: any("peer dropped" in line and reason in line for line in list(node.log))
    return wait_until(f"a peer that is dropped because it {reason}", told)


def counted(node, name: str) -> int:
    lines = [line for line in node.ask("GET", "/metrics").decode().splitlines() if line.startswith(f"{name} ")]
    return int(float(lines[0].split()[1]))


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        ("/icn/feed/0", "speaks /icn/feed/0, this node /icn/feed/1: that node is to be upgraded"),
        ("/icn/feed/9", "speaks /icn/feed/9, this node /icn/feed/1: upgrade this node"),
        ("/other/9", "does not speak /icn/feed: it is no node of ours"),
    ],
)
def test_a_peer_of_another_version_is_refused_and_both_sides_know_why(node, theirs, reason):
    before = counted(node, OTHER_VERSIONS)

    async def visit() -> None:
        async with Attacker(node, protocols={theirs: MIB}) as other:
            assert await other.is_thrown_out()
            # What the other node needs to say the same to its own operator.
            assert FEED_PROTOCOL in other.spoken

    asyncio.run(visit())
    assert dropped_for(node, reason)
    assert counted(node, OTHER_VERSIONS) == before + 1
    assert node.ask("GET", "/network/peers")["items"] == []


def test_who_dials_reads_the_reason_in_network_peers(nodes):
    """The other listens; the node has it among its bootstrap peers."""
    other = nodes.make("target").start()  # only for an address that an attacker may listen for

    async def visit() -> str:
        async with Attacker(other, protocols={"/icn/feed/9": MIB}, listens=True) as stranger:
            [address] = stranger.network.listen_addresses
            node = nodes.make("dials", "--bootstrap-peers", address)
            await asyncio.to_thread(node.start)

            def shown() -> str:
                return cli(node, "network", "peers").out

            async with asyncio.timeout(20):
                while "speaks /icn/feed/9" not in (told := await asyncio.to_thread(shown)):
                    pass  # each question is a process of its own
            return told

    assert "upgrade this node" in asyncio.run(visit())


NEWER_AND_OLDER = {
    "a field is missing": lambda fields: {name: value for name, value in fields.items() if name != "executes"},
    "a field more": lambda fields: fields | {"colour": "red"},
}


@pytest.mark.parametrize("name", NEWER_AND_OLDER)
def test_a_greeting_of_another_form_is_refused_with_what_is_wrong_with_it(node, name):

    async def visit() -> None:
        async with Attacker(node) as other:
            (hello, *_) = await other.hears(Hello)
            number, fields = decode(encode_message(hello))
            other.send_bytes(FEED_PROTOCOL, encode([number, NEWER_AND_OLDER[name](fields)]))
            assert await other.is_thrown_out()

    asyncio.run(visit())
    assert dropped_for(node, "malformed message on /icn/feed/1: ")


def test_a_message_of_a_newer_version_is_refused_as_such_and_others_are_served(node):

    async def visit() -> None:
        async with Attacker(node) as other, Attacker(node) as honest:
            await other.hears(Hello)
            other.send_bytes(FEED_PROTOCOL, encode([19, {}]))
            assert await other.is_thrown_out()
            await honest.greet()
            assert honest.heard(Blocks)

    asyncio.run(visit())
    assert dropped_for(node, "number 19 is not known here: its sender may run a newer version")
