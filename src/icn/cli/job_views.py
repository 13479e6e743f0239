"""What jobs and verifications look like."""

from collections.abc import Sequence
from typing import Any

from icn.cli.answer import Document
from icn.cli.blocks import Block, Column, Facts, Show, Table

_JOBS = (
    ("job_id", Column("JOB")),
    ("status", Column("STATUS")),
    ("submitted_at", Column("SUBMITTED", Show.TIME)),
    ("price", Column("PRICE")),
    ("paid", Column("PAID", Show.PIPED_ONLY)),
    ("attempt", Column("ATTEMPT", Show.PIPED_ONLY)),
    ("ended_at", Column("ENDED", Show.PIPED_ONLY)),
    ("payer", Column("PAYER", Show.PIPED_ONLY)),
    ("home", Column("HOME", Show.PIPED_ONLY)),
    ("executor", Column("EXECUTOR", Show.PIPED_ONLY)),
    ("reason", Column("REASON", Show.PIPED_ONLY)),
)
_EXECUTORS = (
    ("did", Column("EXECUTOR", Show.SHORT)),
    ("here", Column("HERE")),
    ("connected", Column("CONNECTED")),
    ("executes", Column("EXECUTES", Show.PIPED_ONLY)),
    ("places", Column("PLACES", Show.PIPED_ONLY)),
    ("running", Column("RUNNING")),
    ("completed", Column("COMPLETED")),
    ("failed_in_row", Column("FAILED")),
    ("banned_until", Column("BANNED UNTIL", Show.PIPED_ONLY)),
    ("last_price", Column("PRICE")),
    ("last_job", Column("LAST JOB", Show.PIPED_ONLY)),
    ("last_chosen_at", Column("CHOSEN", Show.PIPED_ONLY)),
)
_DEBTS: tuple[tuple[str, Column], ...] = (
    ("home", Column("HOME", Show.SHORT)),
    ("receipts", Column("RECEIPTS")),
    ("overdue", Column("OVERDUE")),
    ("oldest_issued_at", Column("OLDEST")),
    ("refused", Column("GETS NO BIDS")),
)
_JOB = (
    *("job_id", "status", "cancellation", "confirmed", "exit_code", "reason", "attempt", "submitted_at", "ended_at"),
    *("deadline", "payer", "cancelled_by", "home", "executor", "price", "paid"),
    *("output_cid", "receipt_cid", "correlation_id"),
)


def jobs_view(answer: Document) -> Sequence[Block]:
    """A page of jobs."""
    rows = [[job.value(name) for name, _ in _JOBS] for job in answer.parts("items")]
    return [Table([column for _, column in _JOBS], rows, when_empty="no jobs")]


def job_view(answer: Document) -> Sequence[Block]:
    """One job, and what became of its attempts."""
    attempts = _attempts(answer)
    receipt = answer.part_or_none("receipt")
    blocks: list[Block] = [
        Facts(
            [
                *((name.replace("_", " "), answer.value(name)) for name in _JOB),
                ("what it said", receipt and receipt.value_or_none("detail")),
            ]
        ),
        Facts([(f"asked {name.replace('_', ' ')}", value) for name, value in answer.part("spec").facts()]),
    ]
    if attempts:
        columns = [
            *(Column("ATTEMPT"), Column("EXECUTOR", Show.SHORT), Column("OUTCOME"), Column("PRICE")),
            *(Column("STARTED", Show.PIPED_ONLY), Column("ENDED", Show.PIPED_ONLY)),
            *(Column("RECEIPT", Show.PIPED_ONLY), Column("REASON", Show.REST)),
        ]
        blocks.append(Table(columns, attempts, when_empty="", title="attempts"))
    return [*blocks, *_agreement(answer)]


def _agreement(answer: Document) -> list[Block]:
    """Where each of several executors stands, and the disputes; nothing where there is none of either."""
    blocks: list[Block] = []
    parties = [[party.value(name) for name in ("executor", "part", "receipt_cid")] for party in answer.parts("parties")]
    if parties:
        columns = [Column("EXECUTOR", Show.SHORT), Column("PART"), Column("RECEIPT", Show.SHORT)]
        blocks.append(Table(columns, parties, when_empty="", title="executors that must agree"))
    fields = ("accused", "raised_by", "raised_at", "receipt_cid", "counter_cid")
    disputes = [[dispute.value(name) for name in fields] for dispute in answer.parts("disputes")]
    if disputes:
        columns = [
            *(Column("ACCUSED", Show.SHORT), Column("RAISED BY", Show.SHORT), Column("WHEN", Show.TIME)),
            *(Column("RECEIPT", Show.SHORT), Column("AGAINST IT", Show.SHORT)),
        ]
        blocks.append(Table(columns, disputes, when_empty="", title="disputes"))
    return blocks


def _attempts(answer: Document) -> list[list[Any]]:
    """A row for each executor of each attempt, and for one that nobody has taken yet."""
    fields = ("executor", "outcome", "price", "started_at", "ended_at", "receipt_cid", "reason")
    rows: list[list[Any]] = []
    for attempt in answer.parts("attempts"):
        number, runs = attempt.value("attempt"), attempt.parts("runs")
        rows += [[number, *(run.value(name) for name in fields)] for run in runs]
        if not runs:
            rows.append([number, *(None for _ in fields)])
    return rows


def executors_view(answer: Document) -> Sequence[Block]:
    """A page of executors."""
    rows = [[one.value(name) for name, _ in _EXECUTORS] for one in answer.parts("items")]
    return [Table([column for _, column in _EXECUTORS], rows, when_empty="no executors are known")]


def debts_view(answer: Document) -> Sequence[Block]:
    """What homes owe this node."""
    rows = [[one.value(name) for name, _ in _DEBTS] for one in answer.parts("items")]
    return [Table([column for _, column in _DEBTS], rows, when_empty="every home has recorded every receipt")]


def verification_view(answer: Document) -> Sequence[Block]:
    """What the receipt says beside what running it again gave."""
    receipt, again = answer.part("receipt"), answer.part("reexecuted")
    proves_nothing = answer.value_or_none("comparable") is False  # an older node does not say
    mismatch = "does not match, which proves nothing" if proves_nothing else "DOES NOT MATCH"
    rows = [
        [name.replace("_", " "), receipt.value(name), again.value(name)] for name in ("output_cid", "fuel_used", "exit")
    ]
    return [
        Facts(
            [
                ("job", answer.value("job_id")),
                ("signature", "valid" if answer.truth("signature_ok") else "NOT VALID"),
                ("run again", "matches" if answer.truth("matches") else mismatch),
                ("comparable", answer.value_or_none("comparable")),
                ("dispute recorded", answer.value_or_none("disputed")),
            ]
        ),
        Table([Column(""), Column("RECEIPT", Show.SHORT), Column("RUN AGAIN", Show.SHORT)], rows, when_empty=""),
    ]
