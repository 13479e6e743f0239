"""Metrics of the connections to other nodes, read when somebody scrapes."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from icn.adapters.network.ports import NetworkFigures


class NetworkMetrics:
    """Declared here, exported by `metrics.Metrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._peers = Gauge("icn_p2p_peers_connected", "Connected peers.", registry=registry)
        self._contacts = Gauge(
            "icn_p2p_discovery_contacts", "Peers that answer this node's searches for others.", registry=registry
        )
        self._known = Gauge(
            "icn_p2p_discovery_known_peers",
            "Peers that others told of, and whom this node may call when it has too few.",
            registry=registry,
        )
        self._memory = Gauge(
            "icn_p2p_memory_bytes", "What connections make this node hold, as counted.", registry=registry
        )
        self._memory_budget = Gauge("icn_p2p_memory_budget_bytes", "What they may make it hold.", registry=registry)
        self._trimmed = Counter(
            "icn_p2p_peers_trimmed_total", "Peers let go because others needed their places.", registry=registry
        )
        self._silent = Counter(
            "icn_p2p_connections_silent_total",
            "Connections ended because the peer sent nothing any more, or answered no pings.",
            registry=registry,
        )
        self._refused = Counter(
            "icn_p2p_connections_refused_total",
            "Connections ended because there was too much of something: handshakes under way, connections from one "
            "address, peers (places), memory.",
            ("reason",),
            registry=registry,
        )
        self._seen_trimmed = self._seen_silent = 0
        self._seen_refused: dict[str, int] = {}

    def set(self, now: NetworkFigures) -> None:
        """Show what is."""
        self._peers.set(now.peers)
        self._contacts.set(now.contacts)
        self._known.set(now.known)
        self._memory.set(now.memory_bytes)
        self._memory_budget.set(now.memory_bytes_max)
        self._trimmed.inc(max(0, now.trimmed - self._seen_trimmed))
        self._seen_trimmed = now.trimmed
        self._silent.inc(max(0, now.silent - self._seen_silent))
        self._seen_silent = now.silent
        for reason, count in now.refused.items():
            self._refused.labels(reason).inc(max(0, count - self._seen_refused.get(reason, 0)))
            self._seen_refused[reason] = count
