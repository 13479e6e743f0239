"""Node and bridge understand each other, and nobody else."""

from dataclasses import replace

import pytest

from icn.adapters.cluster import bounds, messages
from icn.adapters.cluster.messages import Alive, Begin, Ended, Hello, MachineRefused, Stop
from icn.adapters.cluster.settings import TlsFiles
from icn.adapters.wasm import outcomes
from icn.domain.mesh.execution import ExitKind
from icn.kernel.errors import Invalid
from icn.kernel.limits import CONTENT_BYTES_MAX
from support.cluster_machines import TERMS
from support.wasm_pool import request

OUTCOME = outcomes.without_guest(ExitKind.COMPLETED, "p", "", output=b"o")


@pytest.mark.parametrize(
    "said",
    [
        Hello("10.0.0.1", 6379, TlsFiles(certificate="c", key="k", authority="a"), TERMS),
        Hello("::1", 6379, None, TERMS),
        Begin(1, request(b"module"), b"module"),
        Begin(2, request(None), b""),
        Stop(1),
        Alive(),
        MachineRefused("id", "name", "why", ("seccomp",)),
        Ended(7, OUTCOME),
    ],
)
def test_what_is_said_is_understood(said) -> None:
    frame = messages.framed(said)
    size, number = messages.header(frame[: messages.HEADER_BYTES])
    assert size == len(frame) - messages.HEADER_BYTES
    assert messages.message_of(number, frame[messages.HEADER_BYTES :]) == said


def test_the_largest_that_may_be_said_fits() -> None:
    most = b"x" * CONTENT_BYTES_MAX
    assert len(messages.framed(Begin(1, replace(request(most), input=most), most))) < bounds.FRAME_BYTES_MAX


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff\x01", b"\0\0\0\0\x63"])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        messages.header(data)


def test_bytes_behind_a_message_are_refused() -> None:
    with pytest.raises(Invalid):
        messages.decode(Stop, messages.encode(Stop(1)) + b"\0")
