from dataclasses import replace

import pytest

from icn.adapters.wasm import bounds
from icn.adapters.wasm.admission import Entry
from icn.adapters.wasm.artifact import Artifact
from icn.adapters.wasm.frames import WorkerGarbled
from icn.adapters.wasm.messages import Ended, Run
from icn.domain.mesh.execution import ExitKind
from support.wasm_pool import LIMITS

ENDED = Ended(
    exit=ExitKind.TRAPPED,
    exit_code=1,
    output=b"out",
    detail="why",
    fuel_used=2,
    memory_peak_bytes=3,
    wall_ms=4,
    memory_growth_denied=5,
    table_growth_denied=6,
)


def test_messages_read_back() -> None:
    run = Run(key=b"key", limits=LIMITS, seed=b"seed", input=b"in", arguments=(b"", b"x"))
    assert Run.decode(run.encode()) == run
    assert Ended.decode(ENDED.encode()) == ENDED
    artifact = Artifact(entry=Entry.RUN, prefix="_icn ", memory_bytes=65536, tables=(1, 2), native=b"\x7fELF")
    assert Artifact.decode(artifact.encode()) == artifact


def test_a_detail_is_cut_to_its_bound() -> None:
    long = replace(ENDED, detail="é" * bounds.DETAIL_CHARS_MAX * 2)
    assert Ended.decode(long.encode()).detail == "é" * bounds.DETAIL_CHARS_MAX


def test_an_ending_that_no_worker_reports_is_garbled() -> None:
    for damaged in (b"", ENDED.encode()[:-1], ENDED.encode().replace(b"trapped", b"trappes"), bytes(100)):
        with pytest.raises(WorkerGarbled):
            Ended.decode(damaged)
