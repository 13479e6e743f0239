"""Metrics of this node as an executor: what it bids, what runs, and how long the parts of a job's way take."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from icn.services.capacity import ExecutorLoad
from icn.services.effects import BidAnswered, BidOutcome, ExecutionPhase, ExecutorNotice, PhaseEnded
from icn.services.inputs import Strain

_PHASE_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800, 3600)


class ExecutorMetrics:
    """Declared here, exported by `metrics.Metrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._bids = Counter(
            "icn_bids_total",
            "Announcements that this node answered: with an offer, or with the reason why it makes none.",
            ("outcome",),
            registry=registry,
        )
        self._bids_with = {outcome: self._bids.labels(outcome.value) for outcome in BidOutcome}
        self._phase_seconds = Histogram(
            "icn_execution_phase_seconds",
            "Jobs at this node as an executor, by phase: waiting for a place, fetching what is needed, running, and "
            "until the home has recorded the receipt.",
            ("phase",),
            buckets=_PHASE_SECONDS,
            registry=registry,
        )
        self._seconds_of = {part: self._phase_seconds.labels(part.value) for part in ExecutionPhase}
        self._places = Gauge(
            "icn_executor_places",
            "Places for executions, by what they are: in use, promised or free.",
            ("state",),
            registry=registry,
        )
        self._job_memory = Gauge(
            "icn_executor_memory_bytes",
            "Memory that jobs share, by what it is: in use, promised or free.",
            ("state",),
            registry=registry,
        )
        self._bids_waiting = Gauge(
            "icn_executor_waiting", "Announcements that wait for a place here.", registry=registry
        )
        self._strained = Gauge(
            "icn_executor_strained",
            "1 while this node takes no jobs because it is short of this, else 0.",
            ("resource",),
            registry=registry,
        )

    def observe(self, effect: ExecutorNotice) -> None:
        """Something about this node as an executor."""
        match effect:
            case BidAnswered(outcome):
                self._bids_with[outcome].inc()
            case PhaseEnded(phase, took):
                self._seconds_of[phase].observe(took / 1000)

    def set(self, load: ExecutorLoad) -> None:
        """Show what is."""
        usage = load.usage
        free = max(0, usage.places - usage.in_use - usage.reserved)
        memory_free = max(0, usage.memory_bytes - usage.memory_in_use - usage.memory_reserved)
        for gauge, in_use, reserved, left in (
            (self._places, usage.in_use, usage.reserved, free),
            (self._job_memory, usage.memory_in_use, usage.memory_reserved, memory_free),
        ):
            gauge.labels("in_use").set(in_use)
            gauge.labels("reserved").set(reserved)
            gauge.labels("free").set(left)
        self._bids_waiting.set(load.waiting)
        for resource in Strain:
            self._strained.labels(resource.value).set(load.strain is resource)
