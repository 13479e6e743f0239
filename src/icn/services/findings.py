"""What verification of a store or of an archive reports."""

from dataclasses import dataclass

FINDINGS_MAX = 10_000
"""More are counted, not listed: a store that is wrong everywhere must not fill memory."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was looked at."""

    blocks: int
    content: int


@dataclass(frozen=True, slots=True)
class Report:
    """What verification found."""

    ok: bool
    deep: bool
    checked: Checked
    findings: tuple[Finding, ...]
    findings_total: int
