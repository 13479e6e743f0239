"""Job specifications for tests above the engine."""

from icn.domain.mesh.execution import Limits
from icn.domain.mesh.model import JobSpec
from icn.kernel.instant import Instant, later, seconds
from icn.kernel.mana import Mana

LIMITS = Limits(fuel=1_000_000, memory_bytes=65_536, table_elements=10, wall_ms=1_000, output_bytes=1_000)


def echo_spec(now: Instant) -> JobSpec:
    """A job for the built-in, which has five minutes."""
    return JobSpec(
        module=None,
        arguments=(),
        input=b"",
        input_cid=None,
        limits=LIMITS,
        max_price=Mana(10),
        capabilities=(),
        deadline=later(now, seconds(300)),
        redundancy=1,
    )
