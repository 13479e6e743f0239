"""A node that ran a job again and got another result says so, with both receipts (semantics §5)."""

from icn.domain.mesh.agreement_rules import dispute_about
from icn.domain.mesh.execution import ExecutionOutcome
from icn.domain.mesh.model import Job
from icn.domain.mesh.papers import open_receipt
from icn.services import rows
from icn.services.rechecking import counter_to, own_receipt
from icn.services.work import UnitOfWork


def note_mismatch(work: UnitOfWork, job: Job, sealed: bytes, outcome: ExecutionOutcome) -> bool:
    """Whether this node disputes the sealed receipt after its own execution gave `outcome`; recorded once.

    False where the two agree, or prove nothing: of another profile, or ended by an accident of one machine.
    """
    said = open_receipt(sealed)
    counter = counter_to(work, said, own_receipt(work, job.id, job.spec, said, outcome))
    if not counter:
        return False
    key = (job.id, said.attempt, said.executor, work.did)
    is_known = key in work.state.mesh.touched.disputes or rows.DISPUTES.get(work.store, rows.dispute_key(*key))
    if not is_known:
        work.record([dispute_about(sealed, counter)])
    return True
