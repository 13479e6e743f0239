"""Every metric, declared once, in a registry of its own; docs/metrics.md is made from this module.

What happens is counted as it is committed (`observe_…`); what merely is (balances, peers, the supply) is read when
somebody scrapes. Labels have few values each: routes are templates, never paths; nobody's name is a label.

Governance does not exist in this release, so its metric does not either.
"""

from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from icn.adapters.executor_metrics import ExecutorMetrics
from icn.adapters.gossip_metrics import GossipMetrics
from icn.adapters.network_metrics import NetworkMetrics
from icn.adapters.readings import BreakerReading, Readings
from icn.domain.mesh.events import (
    AttemptAbandoned,
    AttemptFailed,
    ExecutorBanned,
    JobAgreed,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    ReceiptIssued,
)
from icn.domain.mesh.model import Status
from icn.domain.mesh.papers import open_receipt
from icn.domain.records import EVENT_NAMES
from icn.protocol.breaker import BreakerState
from icn.services.effects import (
    BlockDamaged,
    BlockMended,
    Committed,
    ContentPruned,
    ExecutorNotice,
    Finding,
    StoreNotice,
)
from icn.services.job_times import JobFigures, JobTimes, Phase

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_JOB_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """Counts, and renders what is counted. From any thread."""

    def __init__(self, *, version: str, did: str) -> None:
        """`did` is this node's: what others record is not counted as ours."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there; drops series nobody reads
        self._did = did
        self._read: Callable[[], Readings] | None = None
        self._registry = registry = CollectorRegistry()
        # The guide's.
        self._uptime = Gauge("icn_node_uptime_seconds", "Since this process started.", registry=registry)
        self._balance = Gauge(
            "icn_mana_balance_total", "The node's own balance, with what has regenerated.", registry=registry
        )
        self._executed = Counter(
            "icn_jobs_executed_total", "Executions of this node that ended with a receipt.", registry=registry
        )
        self._network = NetworkMetrics(registry)
        self._gossip = GossipMetrics(registry)
        self._memory_denied = Counter(
            "wasm_memory_growth_denied_total", "Growths of linear memory denied by the limiter.", registry=registry
        )
        self._table_denied = Counter(
            "wasm_table_growth_denied_total", "Growths of tables denied by the limiter.", registry=registry
        )
        # HTTP.
        self._requests = Counter(
            "icn_http_requests_total", "Requests answered.", ("route", "method", "status"), registry=registry
        )
        self._request_seconds = Histogram(
            "icn_http_request_seconds",
            "From a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        # The writer.
        self._commit_seconds = Histogram(
            "icn_commit_seconds", "From taking a batch to its being durable.", buckets=_SECONDS, registry=registry
        )
        self._batch_inputs = Histogram(
            "icn_commit_batch_inputs", "Inputs in one commit.", buckets=_SIZES, registry=registry
        )
        self._queue_depth = Gauge("icn_queue_depth", "Inputs that wait for the writer.", registry=registry)
        self._is_author = Gauge(
            "icn_writer_is_author", "1 while this process authors, 0 while it stands by.", registry=registry
        )
        self._is_held = Gauge(
            "icn_authoring_held",
            "1 while the node does not write, because its store was put back and it looks for its own newer blocks.",
            registry=registry,
        )
        # The DAG and what it says.
        self._records = Counter(
            "icn_records_committed_total", "Records made durable, by event.", ("type",), registry=registry
        )
        self._new_records: dict[type[Any], int] = {}  # bounded: by the kinds of records
        """Counted since the last scrape: a node has so many that the library's counter would be a cost of each."""
        self._feed_height = Gauge("icn_feed_height", "Blocks in this node's own feed.", registry=registry)
        self._blocks = Gauge("icn_dag_blocks", "Signed blocks here, of all feeds.", registry=registry)
        self._supply = Gauge(
            "icn_mana_supply",
            "minted - burned = available + held + in_transit, or something is badly wrong.",
            ("part",),
            registry=registry,
        )
        self._jobs_submitted = Counter("icn_jobs_submitted_total", "Jobs opened at this node.", registry=registry)
        self._jobs_ended = Counter(
            "icn_jobs_ended_total", "Jobs of this node that ended.", ("outcome",), registry=registry
        )
        self._job_phase_seconds = Histogram(
            "icn_job_phase_seconds",
            "How long jobs of this node were in a phase that ended: waiting for a retry, bidding, assigned until the"
            " executor began, executing; and whole, from submission to the end.",
            ("phase",),
            buckets=_JOB_SECONDS,
            registry=registry,
        )
        self._attempts_failed = Counter(
            "icn_job_attempts_failed_total",
            "Attempts at jobs of this node that brought no result, by whether they count against the executor.",
            ("against_executor",),
            registry=registry,
        )
        self._job_times = JobTimes()
        # A series that appears with its first value does not increase then; and to look a label up costs three times
        # what counting does.
        self._job_phases = {phase: self._job_phase_seconds.labels(phase.value) for phase in Phase}
        self._ended_with = {ending: self._jobs_ended.labels(ending) for ending in self._job_times.ended}
        for counts in ("yes", "no"):
            self._attempts_failed.labels(counts)
        self._jobs_open = Gauge("icn_jobs_open", "Jobs under way in the federation.", registry=registry)
        self._bans = Counter(
            "icn_executor_bans_total",
            "Executors that this node put on its blacklist since this process started.",
            registry=registry,
        )
        self._banned = Gauge(
            "icn_executors_banned", "Executors that get no job of this node at present.", registry=registry
        )
        self._forked = Gauge(
            "icn_members_forked",
            "Members found to have signed two histories: anything above 0 wants a look at icn-cli dag evidence.",
            registry=registry,
        )
        self._forked_remaining = Gauge(
            "icn_members_forked_remaining",
            "Of these, members still: they were not removed, and have not left.",
            registry=registry,
        )
        self._removed = Gauge("icn_members_removed", "Members that the others have voted out.", registry=registry)
        self._rechecks = Counter(
            "icn_rechecks_total",
            "Jobs of this node that it ran again before paying for them, by what that said of the result.",
            ("finding",),
            registry=registry,
        )
        for finding in Finding:
            self._rechecks.labels(finding.value)
        self._refusals = Counter(
            "icn_refusals_total",
            "Callers' commands that were refused, by code.",
            ("code",),
            registry=registry,
        )
        self._executions = Counter(
            "icn_executions_ended_total", "Executions of this node, by how they ended.", ("exit",), registry=registry
        )
        self._executor = ExecutorMetrics(registry)
        # What is stored.
        self._pruned_blocks = Counter("icn_dag_pruned_blocks_total", "Content blocks pruned.", registry=registry)
        self._pruned_bytes = Counter("icn_dag_pruned_bytes_total", "Bytes of pruned content.", registry=registry)
        self._corrupt = Counter(
            "icn_dag_corrupt_blocks_total", "Blocks found damaged on this node's disk.", registry=registry
        )
        self._mended = Counter(
            "icn_dag_mended_blocks_total", "Damaged blocks that were got again from a peer.", registry=registry
        )
        self._scan_finished = Gauge(
            "icn_dag_scan_finished_seconds", "When the last scan of the store ended, in Unix time.", registry=registry
        )
        self._scan_read = Gauge("icn_dag_scan_read_bytes", "What the scan under way has read.", registry=registry)
        # Backups.
        self._backup_scheduled = Gauge(
            "icn_backup_scheduled", "1 where backups are made by schedule, else 0.", registry=registry
        )
        self._backup_success = Gauge(
            "icn_backup_last_success_timestamp_seconds",
            "How the store was at that time is at the target whole, in Unix time; 0: no backup yet.",
            registry=registry,
        )
        self._backup_verified = Gauge(
            "icn_backup_last_verified_timestamp_seconds",
            "When a restore drill last succeeded, in Unix time; 0: none yet.",
            registry=registry,
        )
        self._backup_bytes = Gauge("icn_backup_last_size_bytes", "The last backup's archive.", registry=registry)
        self._backup_seconds = Gauge(
            "icn_backup_last_duration_seconds", "From the last backup's begin to its arrival.", registry=registry
        )
        self._backup_failures = Counter(
            "icn_backup_failures_total",
            "Backups, retentions and restore drills that failed since this process started.",
            ("task",),
            registry=registry,
        )
        for task in ("backup", "retention", "drill"):
            self._backup_failures.labels(task)  # a series that appears with its first failure does not increase then
        # Peers.
        self._dropped = Counter(
            "icn_p2p_peers_dropped_total", "Peers dropped for a violation, or for being too slow.", registry=registry
        )
        self._other_versions = Counter(
            "icn_p2p_peers_of_other_version_total",
            "Peers dropped because they speak another version of the protocol of blocks, or none.",
            registry=registry,
        )
        # Calls to other machines.
        self._breakers = Gauge(
            "icn_breakers",
            "Machines this node calls, by whether it does: closed, open (it kept failing), half_open (one trial).",
            ("kind", "state"),
            registry=registry,
        )
        self._breaker_openings = Counter(
            "icn_breaker_opened_total",
            "Times a machine was left alone because it kept failing.",
            ("kind",),
            registry=registry,
        )
        self._dial_retries = Counter(
            "icn_p2p_dial_retries_total", "Attempts to reach a node after the first of a call.", registry=registry
        )
        self._seen_openings: dict[str, int] = {}
        self._seen_retries = 0
        build = Gauge("icn_build_info", "1; the label says what runs.", ("version",), registry=registry)
        build.labels(version).set(1)

    def read_with(self, read: Callable[[], Readings]) -> None:
        """What to ask for what merely is. Called at every scrape; until it is set those metrics are zero."""
        self._read = read

    def observe_committed(self, effect: Committed) -> None:
        """One record became durable."""
        kind = type(effect.record.event)
        self._new_records[kind] = self._new_records.get(kind, 0) + 1
        if effect.author.text != self._did:
            return
        for span in self._job_times.take(effect.record.event, effect.time):
            self._job_phases[span.phase].observe(span.duration / 1000)
        match effect.record.event:
            case AttemptFailed(counts_against_executor=counts):
                self._attempts_failed.labels("yes" if counts else "no").inc()
            case AttemptAbandoned():
                self._attempts_failed.labels("no").inc()
            case JobSubmitted():
                self._jobs_submitted.inc()
            case JobCompleted() | JobAgreed():
                self._ended_with[Status.COMPLETED.value].inc()
            case JobRolledBack(_, outcome):
                self._ended_with[outcome.value].inc()
            case ExecutorBanned():
                self._bans.inc()
            case ReceiptIssued(_, _, _, data):
                receipt = open_receipt(data)
                self._executed.inc()
                self._executions.labels(receipt.exit.value).inc()
                if receipt.memory_growth_denied or receipt.table_growth_denied:
                    self._memory_denied.inc(receipt.memory_growth_denied)
                    self._table_denied.inc(receipt.table_growth_denied)
            case _:
                pass

    def jobs(self) -> JobFigures:
        """Jobs of this home since the process began. On the thread of `observe_committed`."""
        return self._job_times.figures()

    def observe_batch(self, *, inputs: int, seconds: float, depth: int) -> None:
        """One batch went through the writer."""
        self._commit_seconds.observe(seconds)
        self._batch_inputs.observe(inputs)
        self._queue_depth.set(depth)

    def observe_request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered; status 0: its client left before."""
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def observe_notice(self, effect: StoreNotice) -> None:
        """Something about the store."""
        match effect:
            case ContentPruned(blocks, size):
                self._pruned_blocks.inc(blocks)
                self._pruned_bytes.inc(size)
            case BlockDamaged():
                self._corrupt.inc()
            case BlockMended():
                self._mended.inc()

    def observe_executor(self, effect: ExecutorNotice) -> None:
        """Something about this node as an executor."""
        self._executor.observe(effect)

    def observe_recheck(self, finding: Finding) -> None:
        """A job was run again before it was paid for."""
        self._rechecks.labels(finding.value).inc()

    def observe_backup_failure(self, task: str) -> None:
        """A `backup`, a `retention` or a `drill` failed."""
        self._backup_failures.labels(task).inc()

    def observe_refusal(self, code: str) -> None:
        """A caller's command was refused. Codes are few, and written in the code (docs/errors.md)."""
        self._refusals.labels(code).inc()

    def observe_dropped_peer(self) -> None:
        """A peer was dropped."""
        self._dropped.inc()

    def observe_other_version(self) -> None:
        """A peer speaks another version of our protocols, or none."""
        self._other_versions.inc()

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format 0.0.4. On the thread of `observe_committed`."""
        for kind, count in self._new_records.items():
            self._records.labels(EVENT_NAMES[kind]).inc(count)
        self._new_records.clear()
        if self._read is not None:
            self._set(self._read())
        text: bytes = generate_latest(self._registry)
        return text

    def _set(self, now: Readings) -> None:
        self._uptime.set(now.uptime_seconds)
        self._balance.set(now.mana_balance)
        self._network.set(now.network)
        self._gossip.set(now.network.gossip)
        self._queue_depth.set(now.queue_depth)
        self._executor.set(now.executor)
        self._is_author.set(now.is_author)
        self._is_held.set(now.is_held)
        self._feed_height.set(now.feed_height)
        self._blocks.set(now.blocks)
        self._jobs_open.set(now.jobs_open)
        self._banned.set(now.executors_banned)
        self._forked.set(now.members_forked)
        self._forked_remaining.set(now.members_forked_remaining)
        self._removed.set(now.members_removed)
        self._scan_finished.set(now.scan_finished_at // 1000)
        self._scan_read.set(now.scan_read_bytes)
        self._backup_scheduled.set(now.backups_scheduled)
        made, proven = now.backups.made, now.backups.proven
        self._backup_success.set(0 if made is None else made.made_at / 1000)
        self._backup_bytes.set(0 if made is None else made.size)
        self._backup_seconds.set(0 if made is None else made.took_ms / 1000)
        self._backup_verified.set(0 if proven is None else proven.proven_at / 1000)
        self._set_breakers(now.breakers)
        for part in ("minted", "burned", "available", "held", "in_transit"):
            self._supply.labels(part).set(getattr(now.supply, part))

    def _set_breakers(self, breakers: Sequence[BreakerReading]) -> None:
        for kind in ("p2p", "http"):
            ours = [reading for reading in breakers if reading.kind == kind]
            for state in BreakerState:
                self._breakers.labels(kind, state.value).set(sum(reading.state is state for reading in ours))
            openings = sum(reading.openings for reading in ours)
            self._breaker_openings.labels(kind).inc(max(0, openings - self._seen_openings.get(kind, 0)))
            self._seen_openings[kind] = openings
        retries = sum(reading.retries for reading in breakers)
        self._dial_retries.inc(max(0, retries - self._seen_retries))
        self._seen_retries = retries

    def catalogue(self) -> list[tuple[str, str, tuple[str, ...], str]]:
        """(name as scraped, type, labels, meaning) of every metric, in order of declaration."""
        found = []
        for metric in (
            value for part in (self, self._executor, self._network, self._gossip) for value in vars(part).values()
        ):
            if isinstance(metric, MetricWrapperBase):
                described = next(iter(metric.describe()))
                name = described.name + ("_total" if described.type == "counter" else "")
                labels = tuple(metric._labelnames)  # noqa: SLF001 - the library shows them nowhere else
                found.append((name, described.type, labels, described.documentation))
        return found


def reference_page() -> str:
    """docs/metrics.md."""
    rows_of_table = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"
        for name, kind, labels, meaning in Metrics(version="", did="").catalogue()
    ]
    return "\n".join(
        [
            "# Metrics",
            "",
            "*Made from `icn.adapters.metrics`; a test compares.* Served as Prometheus text on `metrics_bind_addr`,",
            "and at `/metrics` of the API behind its key. Histograms have the usual `_bucket`, `_sum` and `_count`.",
            "",
            "| metric | type | labels | meaning |",
            "|---|---|---|---|",
            *rows_of_table,
            "",
            "`icn_governance_proposals_total` is not exported: this release has no governance.",
            "",
        ]
    )
