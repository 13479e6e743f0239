"""The section `[network]`: where the node listens, whom it calls, and how much of that."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from icn.config.placeholders import placeholder_in
from icn.config.section import TIMEOUT_MS_MAX, Section, Setting, as_tuple, from_text
from icn.config.values import HostPort
from icn.kernel.limits import MIB
from icn.protocol.libp2p.multiaddr import Host, Multiaddr

PEERS_MAX = 4096


def _p2p_listen_addr(text: str) -> Multiaddr:
    if not text.startswith("/"):
        plain = HostPort.parse(text)
        kind = Host.IP6 if ":" in plain.host else Host.IP4 if re.fullmatch(r"[0-9.]+", plain.host) else Host.DNS
        return Multiaddr.make(kind, plain.host, plain.port)
    address = Multiaddr.parse(text)
    if address.peer is not None:
        raise ValueError("ends in /p2p/…; the node's own peer id follows from its key")
    return address


def _announce_addr(text: str) -> Multiaddr:
    address = _p2p_listen_addr(text)
    if address.port == 0:
        raise ValueError("has port 0; the port by which others reach this node belongs there")
    if address.host in {"0.0.0.0", "::"}:  # noqa: S104 - refused here
        raise ValueError("stands for every address of this machine; the one by which others reach it belongs there")
    return address


def _bootstrap_peer(text: str) -> Multiaddr:
    if hint := placeholder_in(text):
        raise ValueError(hint)
    address = Multiaddr.parse(text)
    if address.peer is None:
        raise ValueError("does not end in /p2p/<peer id>, so the peer could not be told from an impostor")
    if address.port == 0:
        raise ValueError("has port 0; the port on which the peer listens belongs there")
    return address


class NetworkSettings(Section):
    """Where the node listens and whom it calls."""

    http_listen_addr: Annotated[HostPort, from_text(HostPort.parse), Setting("Where the HTTP API listens.")] = HostPort(
        "127.0.0.1", 7845
    )
    p2p_enabled: Annotated[bool, Setting("Whether the node talks to other nodes.")] = True
    p2p_listen_addr: Annotated[
        Multiaddr,
        from_text(_p2p_listen_addr),
        Setting("Where other nodes reach this one: a multiaddr; plain `host:port` is also understood."),
    ] = Multiaddr.make(Host.IP4, "0.0.0.0", 7000)  # noqa: S104 - other nodes must reach it; every connection is authenticated
    announce_addrs: Annotated[
        tuple[Annotated[Multiaddr, from_text(_announce_addr)], ...],
        BeforeValidator(as_tuple),
        Setting(
            "What others are told instead of the addresses at which this node listens: where they reach it through a "
            "router or a container's host, as multiaddrs without `/p2p/`."
        ),
    ] = ()
    bootstrap_peers: Annotated[
        tuple[Annotated[Multiaddr, from_text(_bootstrap_peer)], ...],
        BeforeValidator(as_tuple),
        Setting("Nodes to call first, as multiaddrs that end in `/p2p/<peer id>`."),
    ] = ()
    discovery: Annotated[
        Literal["server", "client", "off"],
        Setting(
            "How nodes are found that nobody configured. `server`: this node asks others and answers them; `client`: "
            "it only asks, which is right where others cannot call it; `off`: neither."
        ),
    ] = "server"
    enable_mdns: Annotated[
        bool,
        Setting(
            "Find nodes of the local network by multicast DNS, and be found. Everybody on that network then knows of "
            "this node, and can tell it addresses to call."
        ),
    ] = False
    min_peers: Annotated[
        int,
        Field(ge=0, le=PEERS_MAX),
        Setting("While fewer nodes are connected, nodes that were discovered are called. Never above `max_peers`."),
    ] = 32
    max_peers: Annotated[
        int,
        Field(ge=1, le=PEERS_MAX),
        Setting(
            "Most nodes connected at once, whoever called. One more makes those of least use go, down to `min_peers`; "
            "bootstrap peers and members of the federation keep their places."
        ),
    ] = 50
    memory_budget_bytes: Annotated[
        int,
        Field(ge=32 * MIB, le=65_536 * MIB),
        Setting(
            "What all connections may make this node hold. When it is nearly used up nothing new is accepted; when it "
            "is, the connection that holds most is closed.",
            key="memory_budget_mib",
            scale=MIB,
            unit="bytes",
        ),
    ] = 256 * MIB
    connection_timeout_ms: Annotated[
        int,
        Field(ge=1, le=TIMEOUT_MS_MAX),
        Setting(
            "Seconds until an attempt to connect to another node is given up.",
            key="connection_timeout",
            scale=1000,
            unit="ms",
        ),
    ] = 30_000
    failure_threshold: Annotated[
        int,
        Field(ge=1, le=1000),
        Setting("Failures in a row after which another machine (a node, or the service backups go to) is left alone."),
    ] = 3
    open_timeout_ms: Annotated[
        int,
        Field(ge=1, le=TIMEOUT_MS_MAX),
        Setting(
            "Seconds it is left alone for; then one trial decides.", key="open_timeout_secs", scale=1000, unit="ms"
        ),
    ] = 5_000
    retry_max_attempts: Annotated[
        int, Field(ge=1, le=100), Setting("Tries of one call to another machine, the first one counted.")
    ] = 3
    retry_initial_delay_ms: Annotated[
        int,
        Field(ge=1, le=TIMEOUT_MS_MAX),
        Setting("Before the second try, give or take half by chance; doubles from there.", unit="ms"),
    ] = 100
    retry_max_delay_ms: Annotated[
        int, Field(ge=1, le=TIMEOUT_MS_MAX), Setting("No wait between two tries is longer.", unit="ms")
    ] = 1_000
