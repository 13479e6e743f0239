"""What an executor asks for a job: its rates, applied to the most that the job may use.

A bid is a promise, so its price follows from the specification alone, before anything was fetched or run. All is
integers: the parts are added exactly and rounded up once, to whole mana.
"""

from dataclasses import dataclass

from icn.domain.mesh.model import JobSpec
from icn.kernel.limits import CONTENT_BYTES_MAX, GIB
from icn.kernel.mana import Mana

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Mana for what a job may use. Whole units of a large measure: a rate of 1 must not be a high price."""

    minimum: int
    """The least that is asked for any job."""
    per_million_fuel: int
    per_gib_memory: int = 0
    """Of the job's limit of linear memory."""
    per_gib_transferred: int = 0
    """Of what may have to be sent: see `transferred_bytes`."""


def transferred_bytes(spec: JobSpec) -> int:
    """The most that has to be sent for a job: inputs to its executor, the output back.

    A module or input named by CID counts as the largest content block: how long it is shows only when it is fetched.
    """
    named = [cid for cid in (spec.module, spec.input_cid) if cid is not None]
    return len(spec.input) + len(named) * CONTENT_BYTES_MAX + spec.limits.output_bytes


def price_of(spec: JobSpec, rates: Rates) -> Mana:
    """What an executor with these rates asks for the job."""
    by_gib = spec.limits.memory_bytes * rates.per_gib_memory + transferred_bytes(spec) * rates.per_gib_transferred
    exact = spec.limits.fuel * rates.per_million_fuel * GIB + by_gib * MILLION
    return Mana(max(rates.minimum, -(-exact // (MILLION * GIB))))
