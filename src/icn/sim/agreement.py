"""What several executors agreed on is right, as long as liars are fewer than half: looked at when all is quiet."""

from collections.abc import Iterable, Sequence

from icn.domain.mesh.events import JobAgreed, JobSubmitted
from icn.domain.mesh.execution import ExecutionRequest
from icn.domain.mesh.model import JobSpec
from icn.kernel.ids import RAW, Cid, JobId
from icn.sim.checkers import Entry
from icn.sim.executor import scripted_outcome
from icn.sim.findings import expect
from icn.stores import blocks
from icn.stores.kv import Reader


def right_output(job: JobId, spec: JobSpec, stores: Sequence[Reader]) -> Cid | None:
    """What an honest executor gets; None where module or input are nowhere any more."""
    module = b"" if spec.module is None else _content(spec.module, stores)
    given = spec.input if spec.input_cid is None else _content(spec.input_cid, stores)
    if module is None or given is None:
        return None
    request = ExecutionRequest(
        job=job, attempt=1, module=spec.module, arguments=spec.arguments, input=given, limits=spec.limits
    )
    return Cid.of(scripted_outcome(request, module).output, RAW)


def what_was_agreed_is_right(entries: Iterable[Entry], stores: Sequence[Reader]) -> None:
    """Every output that a majority named is the one that an honest executor gets."""
    specs: dict[JobId, JobSpec] = {}
    for entry in entries:
        event = entry.record.event
        if isinstance(event, JobSubmitted):
            specs[event.job] = event.spec
        elif isinstance(event, JobAgreed):
            right = right_output(event.job, specs[event.job], stores)
            wrong = f"{event.job}: {event.output} was agreed on, {right} is right"
            expect(right in {None, event.output}, "what was agreed is right", wrong)


def _content(cid: Cid, stores: Sequence[Reader]) -> bytes | None:
    return next((data for store in stores if (data := blocks.get_bytes(store, cid)) is not None), None)
