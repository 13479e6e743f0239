"""Turns `prefix`, `after` and `before` of the storage port into one half-open range of keys, once for all engines.

Half-open, because then every engine needs a single comparison at each end: `low <= key`, `key < high`. No `high` means
that the range is open above.
"""


def ascending(prefix: bytes, after: bytes | None) -> tuple[bytes, bytes | None]:
    """`(low, high)` of the keys that begin with `prefix` and are above `after`."""
    low = prefix
    if after is not None:
        low = max(low, after + b"\x00")  # the next key in bytewise order: nothing lies between
    return low, end_of(prefix)


def descending(prefix: bytes, before: bytes | None) -> tuple[bytes, bytes | None]:
    """`(low, high)` of the keys that begin with `prefix` and are below `before`."""
    high = end_of(prefix)
    if before is not None:
        high = before if high is None else min(high, before)
    return prefix, high


def end_of(prefix: bytes) -> bytes | None:
    """The first key above all that begin with `prefix`; None when there is none, as after `ff ff`."""
    stem = prefix.rstrip(b"\xff")
    if not stem:
        return None
    return stem[:-1] + bytes((stem[-1] + 1,))
