"""How long to wait between the tries of one call: exponential, jittered, capped.

The jitter keeps callers that failed at the same moment from coming back at the same moment (Brooker, *Exponential
Backoff And Jitter*). Chance is bytes handed in. Not here: whether to try at all (`breaker`).
"""

from dataclasses import dataclass

CHANCE_BYTES = 2
"""What `delay_ms` wants of chance."""
_DOUBLINGS_MAX = 32


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How hard to try. Only what may pass by itself is tried again."""

    attempts_max: int = 3
    """Tries of one call, the first one counted."""
    initial_delay_ms: int = 100
    """Before the second try, give or take half; doubles from there."""
    delay_ms_max: int = 1_000
    """No wait is longer, jitter included."""


def delay_ms(settings: RetrySettings, tries: int, chance: bytes) -> int:
    """How long to wait after `tries` that failed (at least 1); `chance` is `CHANCE_BYTES` random bytes.

    Between half and one and a half times the doubled delay, and never above the maximum.
    """
    whole = settings.initial_delay_ms << min(max(0, tries - 1), _DOUBLINGS_MAX)
    jittered = whole // 2 + whole * int.from_bytes(chance[:CHANCE_BYTES], "big") // 65_535
    return min(jittered, settings.delay_ms_max)
