"""Metrics of how blocks travel between nodes, read when somebody scrapes."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from icn.adapters.network.ports import GossipShown


class GossipMetrics:
    """Declared here, exported by `metrics.Metrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._mesh = Gauge("icn_gossip_mesh_peers", "Peers to which every publication is passed on.", registry=registry)
        self._peers = Gauge(
            "icn_gossip_peers",
            "Peers that take part in the gossip, by what follows from their score: all is well, negative (not in the "
            "mesh), no_gossip, no_publications, graylisted (not heard, and let go).",
            ("regard",),
            registry=registry,
        )
        self._published = Counter(
            "icn_gossip_published_total", "Publications of this node: blocks of its own.", registry=registry
        )
        self._messages = Counter(
            "icn_gossip_messages_total",
            "Publications of others, by what became of them: accept (passed on), ignore (its ancestors were not here), "
            "reject (can never be valid), malformed, crowded (too many waited for their verdict).",
            ("verdict",),
            registry=registry,
        )
        self._duplicates = Counter(
            "icn_gossip_duplicates_total", "Publications that came again from another peer.", registry=registry
        )
        self._dropped = Counter(
            "icn_gossip_dropped_total", "Times that a peer's queue had no room for gossip.", registry=registry
        )
        self._unheard = Counter(
            "icn_gossip_unheard_total", "Times that a graylisted peer said something.", registry=registry
        )
        self._seen: dict[str, int] = {}

    def set(self, now: GossipShown) -> None:
        """Show what is."""
        self._mesh.set(sum(now.mesh.values()))
        for regard, count in now.peers.items():
            self._peers.labels(regard.value).set(count)
        self._count(self._published, "published", now.published)
        self._count(self._duplicates, "duplicates", now.duplicates)
        self._count(self._dropped, "dropped", now.dropped)
        self._count(self._unheard, "unheard", now.unheard)
        fates = {**now.verdicts, "malformed": now.malformed, "crowded": now.crowded}
        for verdict, count in fates.items():
            self._count(self._messages.labels(verdict), verdict, count)

    def _count(self, counter: Counter, what: str, count: int) -> None:
        counter.inc(max(0, count - self._seen.get(what, 0)))
        self._seen[what] = count
