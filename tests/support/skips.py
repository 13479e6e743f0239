"""Decides which skips a run may have.

On a developer's machine a missing tool skips its tests. Where everything is installed (`ICN_TEST_REQUIRE_ALL=1`, as in
`.ci/run`) a skip is a failure, because a test that never runs proves nothing. Only absent vectors are forgiven there:
they lie outside the repository; their number is printed instead.
"""

from dataclasses import dataclass

VECTORS_ABSENT = "test vectors absent"
"""How the reason of a forgiven skip begins."""


@dataclass(frozen=True, slots=True)
class Skip:
    """One skipped test, or one skipped module."""

    where: str
    reason: str

    @property
    def is_for_vectors(self) -> bool:
        """Whether the published vectors were missing, and nothing else."""
        return VECTORS_ABSENT in self.reason


def forbidden(skips: list[Skip]) -> list[Skip]:
    """Those that must not happen where everything is installed."""
    return [skip for skip in skips if not skip.is_for_vectors]
