"""What is at the moment of a scrape, read from committed data and from what the drivers know; `metrics` renders it."""

from collections.abc import Sequence
from dataclasses import dataclass

from icn.adapters.network.ports import NetworkFigures
from icn.domain.ledger.model import Supply
from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.protocol.breaker import BreakerState
from icn.services import rows
from icn.services.capacity import ExecutorLoad
from icn.services.queries import accounts, forks, membership
from icn.services.queries.blacklist import banned_count
from icn.services.scan import load_position
from icn.stores.backup_schedule import Schedule, schedule_in
from icn.stores.kv import Reader


@dataclass(frozen=True, slots=True)
class BreakerReading:
    """One machine that is called, and what the node has gone through with it since its start."""

    kind: str
    """`p2p` or `http`."""
    state: BreakerState
    openings: int
    retries: int


@dataclass(frozen=True, slots=True)
class Readings:
    """What is, at the moment of a scrape."""

    uptime_seconds: int
    mana_balance: int
    supply: Supply
    feed_height: int
    blocks: int
    jobs_open: int
    executors_banned: int
    members_forked: int
    members_forked_remaining: int
    members_removed: int
    network: NetworkFigures
    queue_depth: int
    executor: ExecutorLoad
    is_author: bool
    is_held: bool
    backups_scheduled: bool
    backups: Schedule
    scan_finished_at: int
    """0: none has ended."""
    scan_read_bytes: int
    breakers: Sequence[BreakerReading]

    @classmethod
    def of(
        cls,
        reader: Reader,
        *,
        did: Did,
        now: Instant,
        started_at: Instant,
        network: NetworkFigures,
        queue_depth: int,
        executor: ExecutorLoad,
        is_author: bool,
        is_held: bool,
        backups_scheduled: bool,
        breakers: Sequence[BreakerReading],
    ) -> "Readings":
        """From committed data and what the drivers know."""
        head = rows.HEADS.get(reader, did.public_key)
        scanned = load_position(reader)
        return cls(
            uptime_seconds=max(0, now - started_at) // 1000,
            mana_balance=accounts.balance(reader, did, home=did, now=now),
            supply=rows.load_supply(reader),
            feed_height=0 if head is None else head.sequence + 1,
            blocks=rows.load_position(reader).block_count,
            jobs_open=sum(1 for _ in rows.OPEN_JOBS.rows(reader)),
            executors_banned=banned_count(reader, did, now),
            members_forked=forks.count(reader),
            members_forked_remaining=forks.remaining_count(reader),
            members_removed=membership.removed_count(reader),
            network=network,
            queue_depth=queue_depth,
            executor=executor,
            is_author=is_author,
            is_held=is_held,
            backups_scheduled=backups_scheduled,
            backups=schedule_in(reader.get),
            scan_finished_at=scanned.finished_at or 0,
            scan_read_bytes=scanned.size,
            breakers=breakers,
        )
