"""What a run is made from, and what came of it; the latter also as a line of a state file."""

import json
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any

from icn.sim.faults import Faults
from icn.sim.findings import Finding
from icn.sim.plants import Plant
from icn.sim.tempo import Tempo


class Scenario(Enum):
    """The names `--scenario` takes: one kind of trouble in a world that is calm otherwise."""

    CUTS = "cuts"
    """Two of five nodes are cut off under writes on both sides, at random moments, for up to a minute."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made from. The same plan gives the same run."""

    seed: int
    nodes: int = 5
    seconds: int = 20
    plant: Plant | None = None
    tempo: Tempo | None = None
    """None: drawn from the seed."""
    scenario: Scenario | None = None


@dataclass(slots=True)
class Run:
    """What came of it."""

    plan: Plan
    faults: Faults
    tempo: Tempo = Tempo.DENSE
    digest: str = ""
    lines: int = 0
    steps: int = 0
    finding: Finding | None = None
    tail: list[str] = field(default_factory=list)
    """The last lines of the trace."""
    virtual_us: int = 0
    cpu_us: int = 0
    """What it took, of this machine's processor."""
    blocks: int = 0
    messages: int = 0
    """Sent between nodes."""
    answered: int = 0
    jobs: int = 0
    transfers: int = 0
    crashes: int = 0
    breaks: int = 0
    """Connections that broke."""
    cuts: int = 0
    """Partitions."""
    cut_writes_few: int = 0
    """Writes acknowledged in the smaller part of a federation that was cut."""
    cut_writes_many: int = 0
    put_back: int = 0
    bans: int = 0
    """Executors that homes put on their blacklists."""
    held: int = 0
    """Requests that a held node refused."""
    forged: int = 0
    """Blocks that a dishonest member signed."""
    forks: int = 0
    """Whether it was found to have signed two histories."""
    void: int = 0
    """Records without effect because of it."""

    @property
    def node_seconds(self) -> float:
        """Virtual seconds of all nodes."""
        return self.virtual_us / 1_000_000 * self.plan.nodes


_SUMMED = (
    "blocks",
    "messages",
    "answered",
    "jobs",
    "transfers",
    "crashes",
    "breaks",
    "cuts",
    "put_back",
    "bans",
    "forks",
    "void",
)


def totals(runs: list[Run]) -> dict[str, int]:
    """What happened in all of them together."""
    return {name: sum(getattr(run, name) for run in runs) for name in _SUMMED}


def to_line(run: Run) -> str:
    """One line of JSON. The trace's end is kept where there is a finding."""
    record: dict[str, Any] = {one.name: getattr(run, one.name) for one in fields(run)}
    record["plan"] = {name: _plain(value) for name, value in asdict(run.plan).items()}
    record["faults"] = asdict(run.faults)
    record["tempo"] = run.tempo.value
    record["finding"] = None if run.finding is None else [run.finding.checker, run.finding.detail]
    record["tail"] = run.tail if run.finding is not None else []
    return json.dumps(record, separators=(",", ":"))


def from_line(line: str) -> Run:
    """Inverse of `to_line`. Raises `ValueError` for a line that is not whole."""
    try:
        record = json.loads(line)
        plan = record.pop("plan")
        plan["plant"] = None if plan["plant"] is None else Plant(plan["plant"])
        plan["tempo"] = None if plan["tempo"] is None else Tempo(plan["tempo"])
        plan["scenario"] = None if plan["scenario"] is None else Scenario(plan["scenario"])
        found = record.pop("finding")
        return Run(
            plan=Plan(**plan),
            faults=Faults(**record.pop("faults")),
            tempo=Tempo(record.pop("tempo")),
            finding=None if found is None else Finding(*found),
            **record,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a run: {error}") from error


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value
