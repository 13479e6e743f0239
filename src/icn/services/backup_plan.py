"""When a backup is due, of which kind, and which archives may go. Pure rules; the node's task carries them out.

An archive's name says what the rules need to know: whose it is, when it was made, its manifest's hash and the hash of
the one it goes on from. So a person can read a chain in a listing, and no rule has to open gigabytes, perhaps
encrypted, to find one out. A drill compares name and manifest.

```
icn-9f86d081884c7d65-20261124T031500123Z-4e1243bd22c66e76-full.tar.gz
icn-9f86d081884c7d65-20261125T031500007Z-8d23cf6c86e834a7-on-4e1243bd22c66e76.tar.gz.age
    node                  made (UTC)       manifest               parent's manifest
```

**Due.** `interval` after the last success that the store records; at once when there is none, or when the clock says
that it is still to come. Runs that were missed while the node was down are one run. After failures the pauses double.

**Kind.** Incremental while the newest success is still at the target with everything it stands on and the chain has
room for a link; otherwise full, which needs nothing. Full, too, once a drill could not restore the newest one.

**Retention.** An archive is kept while it is one of the `keep_last` newest restorable ones, or younger than `keep`, and
while a kept one stands on it. What cannot be restored, for a link is missing, does not count as one of those. Nothing
goes but after a backup that succeeded, nothing that is newer than it, and it stays itself with all it stands on.

Not here: clocks, targets, archives.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from icn.kernel.errors import require
from icn.kernel.ids import Did
from icn.kernel.instant import Duration, Instant, later

RETRY_PAUSE = Duration(60_000)
"""After the first failure."""
ID_CHARS = 16
"""Hexadecimal digits of a hash in a name: 64 bits, and a target holds some hundreds of archives."""
SUFFIX = ".tar.gz"
ENCRYPTED_SUFFIX = ".age"
_NAME = re.compile(
    rf"icn-([0-9a-f]{{{ID_CHARS}}})-([0-9]{{8}}T[0-9]{{9}}Z)-([0-9a-f]{{{ID_CHARS}}})"
    rf"-(?:full|on-([0-9a-f]{{{ID_CHARS}}}))\.tar\.gz(\.age)?\Z"
)
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ArchiveName:
    """What the name of one of our archives says."""

    node: str
    """`node_mark` of the node that made it."""
    made: Instant
    id: str
    """The beginning of its manifest's hash."""
    parent: str | None
    """The `id` of the archive it goes on from; None: it is full."""
    encrypted: bool

    @property
    def text(self) -> str:
        """The name itself."""
        kind = "full" if self.parent is None else f"on-{self.parent}"
        encrypted = ENCRYPTED_SUFFIX if self.encrypted else ""
        return f"icn-{self.node}-{_stamp(self.made)}-{self.id}-{kind}{SUFFIX}{encrypted}"

    @classmethod
    def parse(cls, text: str) -> "ArchiveName | None":
        """What `text` says, or None when it is no name of ours."""
        found = _NAME.match(text)
        if found is None:
            return None
        name = cls(found[1], _instant(found[2]), found[3], found[4], found[5] is not None)
        return name if name.text == text else None  # there is no thirtieth of February


def node_mark(did: Did) -> str:
    """What stands for a node in the names of its archives."""
    return hashlib.sha256(did.public_key).hexdigest()[:ID_CHARS]


def names_of(did: Did) -> str:
    """What the names of a node's archives begin with."""
    return f"icn-{node_mark(did)}-"


def archive_id(manifest_hash: str) -> str:
    """What stands for a manifest in a name."""
    return manifest_hash[:ID_CHARS]


def ours(names: Iterable[str], node: Did) -> list[ArchiveName]:
    """The archives of `node` among `names`, oldest first."""
    mark = node_mark(node)
    parsed = (ArchiveName.parse(name) for name in names)
    return sorted((name for name in parsed if name is not None and name.node == mark), key=_age)


# When


def due_at(last_success: Instant | None, interval: Duration, now: Instant) -> Instant:
    """When the next backup is to be made: `now` or earlier when it is due."""
    if last_success is None or last_success > now:
        return now
    return later(last_success, interval)


def retry_pause(failures: int, interval: Duration) -> Duration:
    """How long to wait after so many failures in a row, one at least: doubling, never longer than `interval`."""
    require(failures > 0, "a pause follows a failure")
    doublings = min(failures - 1, 32)
    return Duration(min(RETRY_PAUSE * 2**doublings, max(interval, RETRY_PAUSE)))


# Which kind


def chain(archives: Sequence[ArchiveName], head: str) -> list[ArchiveName] | None:
    """Everything that restoring the archive with id `head` needs, the full one first; None when a link is missing."""
    by_id = _by_id(archives)
    if head not in by_id:
        return None
    links = list(_standing_on(by_id[head], by_id))
    return links[::-1] if links[-1].parent is None else None


def goes_on(archives: Sequence[ArchiveName], newest_success: str | None, full_every: int) -> bool:
    """Whether the next backup may go on from the newest success; otherwise it is full.

    `newest_success`: the id of the backup that the store records as its last. `full_every`: each so-manieth is full.
    """
    if newest_success is None:
        return False
    standing = chain(archives, newest_success)
    return standing is not None and len(standing) < full_every


# What may go


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept."""

    keep_last: int
    """So many of the newest restorable archives at least, with what they stand on."""
    keep: Duration
    """Everything younger than this, with what it stands on."""


def may_go(
    archives: Sequence[ArchiveName], retention: Retention, *, after: ArchiveName, now: Instant
) -> list[ArchiveName]:
    """Archives to delete after the backup `after` succeeded, in an order that never leaves a link without its parent.

    `archives`: all of one node at the target. Empty when `after` is not among them, or cannot be restored.
    """
    by_id = _by_id(archives)
    if after not in archives or chain(archives, after.id) is None:
        return []
    newest_first = sorted(archives, key=_age, reverse=True)
    restorable = [archive for archive in newest_first if chain(archives, archive.id) is not None]
    wanted = [after, *restorable[: retention.keep_last]]
    wanted += [one for one in archives if later(one.made, retention.keep) > now or _age(one) > _age(after)]
    kept = {link for archive in wanted for link in _standing_on(archive, by_id)}
    return _children_first([archive for archive in newest_first if archive not in kept])


def _standing_on(archive: ArchiveName, by_id: Mapping[str, ArchiveName]) -> Iterator[ArchiveName]:
    """`archive` and what it goes on from, as far as that is there."""
    seen = dict.fromkeys([archive.id])
    yield archive
    while archive.parent is not None and archive.parent in by_id and archive.parent not in seen:
        archive = by_id[archive.parent]
        seen[archive.id] = None
        yield archive


def _children_first(archives: Sequence[ArchiveName]) -> list[ArchiveName]:
    """`archives` so that none comes before one that goes on from it; clocks are set back, so dates do not tell."""
    waiting = list(archives)
    ordered: list[ArchiveName] = []
    while waiting:
        parents = {archive.parent for archive in waiting}
        free = [archive for archive in waiting if archive.id not in parents] or waiting  # a circle has no beginning
        ordered += free
        waiting = [archive for archive in waiting if archive not in free]
    return ordered


def _by_id(archives: Iterable[ArchiveName]) -> Mapping[str, ArchiveName]:
    return {archive.id: archive for archive in sorted(archives, key=_age, reverse=True)}


def _age(archive: ArchiveName) -> tuple[Instant, str]:
    return archive.made, archive.text


# Dates, in whole numbers


def _stamp(moment: Instant) -> str:
    """`20261124T031500123Z`."""
    days, within = divmod(moment, _DAY_MS)
    year, month, day = _date(days)
    seconds, thousandths = divmod(within, 1000)
    return f"{year:04}{month:02}{day:02}T{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}{thousandths:03}Z"


def _instant(stamp: str) -> Instant:
    """Inverse of `_stamp`; of a date that does not exist, some other one."""
    days = _days(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8]))
    seconds = int(stamp[9:11]) * 3600 + int(stamp[11:13]) * 60 + int(stamp[13:15])
    return Instant(days * _DAY_MS + seconds * 1000 + int(stamp[15:18]))


def _date(days: int) -> tuple[int, int, int]:
    """Year, month and day of the day so many days after 1970-01-01, in the Gregorian calendar.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the leap day
    is their last, and 400 years always have 146 097 days.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    return year + era * 400 + (month >= 10), (month + 2) % 12 + 1, day


def _days(year: int, month: int, day: int) -> int:
    """Inverse of `_date`."""
    era, year_of_era = divmod(year - (month <= 2), 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468
