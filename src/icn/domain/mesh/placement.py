"""Decides which executor gets a job.

The same offers and the same standings pick the same executor on every node, so nobody has to ask anybody: lowest price
wins, then fewest failures in a row, then the lowest SHA-256(job ‖ attempt ‖ DID), a tie-break that nobody can buy by
choosing a name (semantics §5).

Not here: asking for bids (services.mesh), paying (domain.ledger).
"""

import hashlib
from collections.abc import Mapping, Sequence

from icn.domain.mesh.commands import Offer
from icn.domain.mesh.model import Job, Standing
from icn.kernel.ids import Did


def choose(job: Job, offers: Sequence[Offer], standings: Mapping[Did, Standing]) -> tuple[Offer, ...]:
    """The offers that win the current attempt, best first: as many as the job has executors, or none at all.

    Executors that already failed this job are passed over as long as there are others. Offers are one per executor, so
    no node is chosen twice.
    """
    eligible = [offer for offer in offers if is_eligible(job, offer)]
    if len(eligible) < job.spec.redundancy:
        return ()
    failed = [failure.executor for failure in job.failures]
    best_first = sorted(eligible, key=lambda offer: (offer.bid.executor in failed, _rank(job, offer, standings)))
    return tuple(best_first[: job.spec.redundancy])


def is_eligible(job: Job, offer: Offer) -> bool:
    """Whether the offer is for this job and attempt, within its price, and has what it asks for."""
    bid = offer.bid
    return (
        (bid.job, bid.attempt, bid.home) == (job.id, job.attempt, job.home)
        and 0 <= bid.price <= job.spec.max_price
        and all(name in bid.capabilities for name in job.spec.capabilities)
    )


def _rank(job: Job, offer: Offer, standings: Mapping[Did, Standing]) -> tuple[int, int, bytes]:
    bid = offer.bid
    standing = standings.get(bid.executor, Standing())
    lot = hashlib.sha256(job.id.data + job.attempt.to_bytes(4, "big") + bid.executor.text.encode()).digest()
    return bid.price, standing.failed_in_row, lot
