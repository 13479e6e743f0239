"""Metrics: the guide's names exactly, each documented, exact where exactness is promised."""

from pathlib import Path

from icn.adapters.metrics import Metrics, reference_page
from icn.adapters.network.ports import GossipShown, NetworkFigures, Regard
from icn.adapters.readings import BreakerReading, Readings
from icn.domain.mesh.events import (
    AttemptFailed,
    BiddingOpened,
    ExecutorBanned,
    JobAssigned,
    JobRolledBack,
    JobSubmitted,
    ReceiptIssued,
)
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.model import Receipt, Status
from icn.domain.mesh.papers import seal_receipt
from icn.domain.records import Event, Record
from icn.kernel.ids import DAG_CBOR, Cid, Did, JobId
from icn.kernel.instant import Duration, Instant
from icn.kernel.mana import Mana
from icn.protocol.breaker import BreakerState
from icn.services.capacity import NO_LOAD, ExecutorLoad, Usage
from icn.services.commands import OpenAccountFor, Submit
from icn.services.effects import BidAnswered, BidOutcome, Committed, ExecutionPhase, PhaseEnded
from icn.services.inputs import Strain, Tick
from icn.services.work import NODE_ITSELF
from support import builders
from support.http_node import GRANT, HttpNode, signer_of
from support.http_specs import echo_spec

ROOT = Path(__file__).resolve().parents[3]
GOSSIP = GossipShown(
    mesh={"/icn/x/blocks/1": 4},
    peers={Regard.GOOD: 4, Regard.GRAYLISTED: 1},
    published=7,
    duplicates=9,
    malformed=2,
    crowded=1,
    unheard=3,
    dropped=5,
    verdicts={"accept": 11, "ignore": 2, "reject": 0},
)
FIGURES = NetworkFigures(
    4, 3, 9, memory_bytes=100, memory_bytes_max=1000, silent=6, trimmed=2, refused={"places": 5}, gossip=GOSSIP
)
GUIDE = (
    "icn_node_uptime_seconds",
    "icn_mana_balance_total",
    "icn_jobs_executed_total",
    "icn_p2p_peers_connected",
    "wasm_memory_growth_denied_total",
    "wasm_table_growth_denied_total",
)


def value(metrics: Metrics, series: str) -> float:
    for line in metrics.exposition().decode().splitlines():
        if line.startswith(series + " "):
            return float(line.rpartition(" ")[2])
    raise KeyError(series)


def receipt_of(executor: int, memory_denied: int, table_denied: int) -> Committed:
    signer = signer_of(executor)
    receipt = Receipt(
        job=JobId(bytes(20)),
        attempt=1,
        home=signer.did,
        executor=signer.did,
        spec=Cid.of(b"", DAG_CBOR),
        module=None,
        output=None,
        exit=ExitKind.TRAPPED,
        exit_code=0,
        fuel_used=1,
        memory_peak_bytes=1,
        wall_ms=1,
        memory_growth_denied=memory_denied,
        table_growth_denied=table_denied,
        profile="x",
        detail="",
        finished_at=Instant(1),
        nonce=b"",
    )
    event = ReceiptIssued(receipt.job, 1, signer.did, seal_receipt(receipt, signer))
    return Committed(1, 0, Cid.of(b"", DAG_CBOR), signer.did, Instant(1), Record(NODE_ITSELF, event))


def test_the_page_is_the_one_committed() -> None:
    assert (ROOT / "docs/metrics.md").read_text(encoding="utf-8") == reference_page(), "write it anew"


def test_the_guides_metrics_by_their_names() -> None:
    text = Metrics(version="1", did="did:x").exposition().decode()
    for name in GUIDE:
        assert f"\n{name} 0.0\n" in "\n" + text
    assert "icn_governance" not in text
    assert "_created" not in text


def test_executions_and_denials_are_counted_once_and_only_our_own() -> None:
    ours: Did = signer_of(1).did
    metrics = Metrics(version="1", did=str(ours))
    metrics.observe_committed(receipt_of(1, 3, 2))
    metrics.observe_committed(receipt_of(1, 4, 0))
    metrics.observe_committed(receipt_of(2, 100, 100))
    assert value(metrics, "icn_jobs_executed_total") == 2
    assert value(metrics, "wasm_memory_growth_denied_total") == 7
    assert value(metrics, "wasm_table_growth_denied_total") == 2
    assert value(metrics, 'icn_executions_ended_total{exit="trapped"}') == 2
    assert value(metrics, 'icn_records_committed_total{type="mesh.receipt_issued"}') == 3


def test_bans_are_counted_once_those_under_way_are_shown_and_refusals_have_their_codes() -> None:
    node = HttpNode(loses=True)
    node.found()
    node.ask(Submit(echo_spec(node.now()), b""))
    for _ in range(3):
        node.clock.moment += 1_000
        node.run([Tick()])
    assert value(node.metrics, "icn_executor_bans_total") == 1
    node.metrics.observe_committed(
        Committed(
            1,
            0,
            Cid.of(b"", DAG_CBOR),
            signer_of(2).did,
            Instant(1),
            Record(NODE_ITSELF, ExecutorBanned(node.did, Instant(1), 3, "")),
        )
    )
    assert value(node.metrics, "icn_executor_bans_total") == 1, "another home's ban is not ours"
    node.metrics.observe_refusal("mesh.too_many_submissions")
    assert value(node.metrics, 'icn_refusals_total{code="mesh.too_many_submissions"}') == 1
    banned = [
        Readings.of(
            node.store,
            did=node.did,
            now=Instant(node.now() + later),
            started_at=node.now(),
            network=NetworkFigures(),
            queue_depth=0,
            executor=NO_LOAD,
            is_author=True,
            is_held=False,
            backups_scheduled=False,
            breakers=[],
        ).executors_banned
        for later in (0, 600_000)
    ]
    assert banned == [1, 0]


def test_what_is_read_at_a_scrape() -> None:
    node = HttpNode()
    node.found()
    node.ask(OpenAccountFor(signer_of(3).did))
    metrics = Metrics(version="1", did=str(node.did))

    def read() -> Readings:
        return Readings.of(
            node.store,
            did=node.did,
            now=Instant(node.now() + 2_500),
            started_at=node.now(),
            network=FIGURES,
            queue_depth=5,
            executor=ExecutorLoad(Usage(8, 3, 1, 1000, 300, 100), waiting=6, strain=Strain.DISK),
            is_author=True,
            is_held=False,
            backups_scheduled=False,
            breakers=breakers,
        )

    breakers = [BreakerReading("p2p", BreakerState.OPEN, 2, 5), BreakerReading("p2p", BreakerState.CLOSED, 1, 0)]
    metrics.read_with(read)
    assert value(metrics, 'icn_breakers{kind="p2p",state="open"}') == 1
    assert value(metrics, 'icn_breakers{kind="http",state="open"}') == 0
    breakers = [BreakerReading("p2p", BreakerState.HALF_OPEN, 3, 7), BreakerReading("http", BreakerState.OPEN, 1, 0)]
    assert value(metrics, 'icn_breakers{kind="p2p",state="open"}') == 0
    assert value(metrics, 'icn_breaker_opened_total{kind="p2p"}') == 3
    assert value(metrics, 'icn_breaker_opened_total{kind="http"}') == 1
    assert value(metrics, "icn_p2p_dial_retries_total") == 7
    assert value(metrics, "icn_node_uptime_seconds") == 2
    assert value(metrics, "icn_mana_balance_total") == GRANT + 25
    assert value(metrics, "icn_p2p_peers_connected") == 4
    assert value(metrics, "icn_p2p_discovery_contacts") == 3
    assert value(metrics, "icn_p2p_discovery_known_peers") == 9
    assert value(metrics, "icn_p2p_memory_bytes") == 100
    assert value(metrics, "icn_p2p_memory_budget_bytes") == 1000
    assert value(metrics, "icn_p2p_connections_silent_total") == 6
    assert value(metrics, "icn_p2p_peers_trimmed_total") == 2, "counted once, however often it is read"
    assert value(metrics, "icn_gossip_mesh_peers") == 4
    assert value(metrics, 'icn_gossip_peers{regard="graylisted"}') == 1
    assert value(metrics, 'icn_gossip_messages_total{verdict="accept"}') == 11, "counted once, however often it is read"
    assert value(metrics, 'icn_gossip_messages_total{verdict="malformed"}') == 2
    assert value(metrics, "icn_gossip_duplicates_total") == 9
    assert value(metrics, "icn_gossip_published_total") == 7
    assert value(metrics, "icn_gossip_dropped_total") == 5
    assert value(metrics, "icn_gossip_unheard_total") == 3
    assert value(metrics, 'icn_p2p_connections_refused_total{reason="places"}') == 5
    assert value(metrics, 'icn_mana_supply{part="minted"}') == 2 * GRANT
    assert value(metrics, "icn_feed_height") == 2
    for state, places, memory in (("in_use", 3, 300), ("reserved", 1, 100), ("free", 4, 600)):
        assert value(metrics, f'icn_executor_places{{state="{state}"}}') == places
        assert value(metrics, f'icn_executor_memory_bytes{{state="{state}"}}') == memory
    assert value(metrics, "icn_executor_waiting") == 6
    assert value(metrics, 'icn_executor_strained{resource="disk"}') == 1
    assert value(metrics, 'icn_executor_strained{resource="queue"}') == 0


def test_what_is_said_to_homes_and_how_long_jobs_take_here_is_counted_by_few_labels() -> None:
    metrics = Metrics(version="1", did="did:x")
    assert value(metrics, 'icn_bids_total{outcome="unpaid"}') == 0
    for outcome in (BidOutcome.OFFERED, BidOutcome.OFFERED, BidOutcome.BUSY):
        metrics.observe_executor(BidAnswered(outcome))
    metrics.observe_executor(PhaseEnded(ExecutionPhase.RUN, Duration(2_500)))
    assert value(metrics, 'icn_bids_total{outcome="offered"}') == 2
    assert value(metrics, 'icn_bids_total{outcome="busy"}') == 1
    assert value(metrics, 'icn_execution_phase_seconds_sum{phase="run"}') == 2.5
    assert value(metrics, 'icn_execution_phase_seconds_count{phase="wait"}') == 0


def test_batches_and_requests() -> None:
    metrics = Metrics(version="1", did="did:x")
    metrics.observe_batch(inputs=3, seconds=0.002, depth=7)
    metrics.observe_request(route="/health", method="GET", status=200, seconds=0.001)
    metrics.observe_dropped_peer()
    metrics.observe_other_version()
    assert value(metrics, "icn_commit_batch_inputs_sum") == 3
    assert value(metrics, "icn_queue_depth") == 7
    assert value(metrics, 'icn_http_requests_total{method="GET",route="/health",status="200"}') == 1
    assert value(metrics, "icn_p2p_peers_dropped_total") == 1
    assert value(metrics, "icn_p2p_peers_of_other_version_total") == 1


def test_jobs_by_phase_and_outcome_with_series_from_the_start() -> None:
    metrics = Metrics(version="1", did=str(signer_of(1).did))
    for phase in ("waiting", "bidding", "assigned", "executing", "whole"):
        assert value(metrics, f'icn_job_phase_seconds_count{{phase="{phase}"}}') == 0
    for outcome in ("completed", "failed", "cancelled"):
        assert value(metrics, f'icn_jobs_ended_total{{outcome="{outcome}"}}') == 0
    job, home, executor = JobId(bytes(20)), signer_of(1).did, signer_of(2).did

    def happens(event: Event, at: int, author: Did = home) -> None:
        cid = Cid.of(b"", DAG_CBOR)
        metrics.observe_committed(Committed(1, 0, cid, author, Instant(at), Record(NODE_ITSELF, event)))

    for author in (home, executor):  # those of another home are not ours
        happens(JobSubmitted(job, bytes(16), 0, author, builders.spec()), 0, author)
        happens(BiddingOpened(job, 1, Instant(1_000)), 0, author)
        happens(JobAssigned(job, 1, Instant(9_000), ()), 1_500, author)
        happens(AttemptFailed(job, 1, executor, "x", True, Instant(2_000), b""), 1_600, author)
        happens(JobRolledBack(job, Status.FAILED, "x", 1, Mana(1)), 1_600, author)
    assert value(metrics, 'icn_job_phase_seconds_sum{phase="bidding"}') == 1.5
    assert value(metrics, 'icn_job_phase_seconds_sum{phase="assigned"}') == 0.1
    assert value(metrics, 'icn_job_phase_seconds_sum{phase="whole"}') == 1.6
    assert value(metrics, 'icn_job_phase_seconds_count{phase="waiting"}') == 0
    assert value(metrics, 'icn_job_attempts_failed_total{against_executor="yes"}') == 1
    assert value(metrics, 'icn_job_attempts_failed_total{against_executor="no"}') == 0
    assert metrics.jobs().ended == {"completed": 0, "failed": 1, "cancelled": 0}


def test_records_are_counted_once_however_often_they_are_read() -> None:
    metrics = Metrics(version="1", did="")
    event = ExecutorBanned(builders.did(2), Instant(1), 5, "slow")
    series = 'icn_records_committed_total{type="mesh.executor_banned"}'
    for count in (1, 2):
        metrics.observe_committed(
            Committed(0, 0, Cid.of(b"", DAG_CBOR), builders.did(1), Instant(0), Record(NODE_ITSELF, event))
        )
        assert value(metrics, series) == value(metrics, series) == count
