"""The five roots every error of ours descends from, and `require`.

| root | meaning | who acts |
|---|---|---|
| `Refusal` | the rules say no | the caller changes the request |
| `Fault` | the world failed us: disk, database, peer, time-out | operator or time |
| `PeerViolation` | a remote broke the protocol | we penalise and drop it |
| `InvariantBroken` | we have a bug, or data is corrupt | a developer; the node stops |
| `ConfigError` | cannot start as configured | the operator edits the configuration |

Leaves live beside the rule that raises them. Not here: HTTP statuses and exit codes; surfaces map `kind`.
"""

from enum import Enum
from typing import ClassVar


class Kind(Enum):
    """What sort of no a refusal is. Surfaces map kinds, so a new leaf needs no change there."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    UNAFFORDABLE = "unaffordable"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"


class IcnError(Exception):
    """Common ancestor, so that the outermost layer can tell ours from the rest."""


class Refusal(IcnError):
    """The rules say no. A leaf sets `code` and `kind` and builds its message from typed fields."""

    code: ClassVar[str] = "refused"
    """Stable, unique, documented in docs/errors.md: programs match on it."""
    kind: ClassVar[Kind] = Kind.INVALID

    def fields(self) -> dict[str, str | int]:
        """The values that offended, for the problem document, the stored reply and the audit line."""
        return {k: v for k, v in vars(self).items() if isinstance(v, str | int)}


class Invalid(Refusal):
    """A value that cannot be what it claims to be: a DID, a CID, an amount, an encoding."""

    code = "invalid"
    kind = Kind.INVALID

    def __init__(self, what: str, why: str) -> None:
        self.what = what
        self.why = why
        super().__init__(f"{what}: {why}")


class Fault(IcnError):
    """The world failed us. The message is for the operator; callers see a general one."""

    code: ClassVar[str] = "fault"
    retryable: ClassVar[bool] = False


class PeerViolation(IcnError):
    """A remote broke the protocol. Says which rule; the connection ends, the node does not."""


class InvariantBroken(IcnError):
    """Something that must hold does not: a bug of ours, or corrupt data. The node stops."""


class ConfigError(IcnError):
    """The node cannot start as configured. The message names where, what and what to do."""


def require(condition: bool, what_must_hold: str) -> None:  # noqa: FBT001 - reads as a sentence at the call
    """Raise `InvariantBroken` unless `condition`. Used instead of `assert`, which `-O` removes."""
    if not condition:
        raise InvariantBroken(what_must_hold)
