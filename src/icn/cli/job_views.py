"""What jobs and verifications look like."""

from collections.abc import Sequence

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
_JOB = (
    *("job_id", "status", "confirmed", "exit_code", "reason", "attempt", "submitted_at", "ended_at", "deadline"),
    *("payer", "home", "executor", "price", "paid", "output_cid", "receipt_cid"),
)


def jobs_view(answer: Document) -> Sequence[Block]:
    """A page of jobs."""
    rows = [[job.value(name) for name, _ in _JOBS] for job in answer.parts("items")]
    return [Table([column for _, column in _JOBS], rows, when_empty="no jobs")]


def job_view(answer: Document) -> Sequence[Block]:
    """One job, and the attempts that failed."""
    failures = [
        [failure.value(name) for name in ("attempt", "executor", "reason")] for failure in answer.parts("failures")
    ]
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
    if failures:
        columns = [Column("ATTEMPT"), Column("EXECUTOR", Show.SHORT), Column("REASON", Show.REST)]
        blocks.append(Table(columns, failures, when_empty="", title="failed attempts"))
    return blocks


def verification_view(answer: Document) -> Sequence[Block]:
    """What the receipt says beside what running it again gave."""
    receipt, again = answer.part("receipt"), answer.part("reexecuted")
    rows = [
        [name.replace("_", " "), receipt.value(name), again.value(name)] for name in ("output_cid", "fuel_used", "exit")
    ]
    return [
        Facts(
            [
                ("job", answer.value("job_id")),
                ("signature", "valid" if answer.truth("signature_ok") else "NOT VALID"),
                ("run again", "matches" if answer.truth("matches") else "DOES NOT MATCH"),
                ("same execution profile", answer.value_or_none("comparable")),
            ]
        ),
        Table([Column(""), Column("RECEIPT", Show.SHORT), Column("RUN AGAIN", Show.SHORT)], rows, when_empty=""),
    ]
