"""Decides which skips a run may have.

On a developer's machine a missing tool skips its tests. Where everything is installed (`ICN_TEST_REQUIRE_ALL=1`, as in
`.ci/run`) a skip is a failure, because a test that never runs proves nothing. Only what lies outside the repository and
cannot be installed is forgiven there, the published vectors and the deployment guide; the number is printed instead.
"""

from dataclasses import dataclass

VECTORS_ABSENT = "test vectors absent"
"""In the reason of a skip for want of published vectors."""
GUIDE_ABSENT = "the deployment guide is not at"
"""In the reason of a skip for want of the guide."""


@dataclass(frozen=True, slots=True)
class Skip:
    """One skipped test, or one skipped module."""

    where: str
    reason: str

    @property
    def is_forgiven(self) -> bool:
        """Whether something outside the repository was missing, and nothing else."""
        return VECTORS_ABSENT in self.reason or GUIDE_ABSENT in self.reason


def forbidden(skips: list[Skip]) -> list[Skip]:
    """Those that must not happen where everything is installed."""
    return [skip for skip in skips if not skip.is_forgiven]
