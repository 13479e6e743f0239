"""What a commitment binds to, who agrees with whom, and which two receipts prove that somebody is wrong."""

from dataclasses import replace

import pytest

from icn.domain.mesh.agreement import (
    Part,
    Poll,
    agreed,
    commitment_to,
    dissenting,
    fits,
    is_withdrawal,
    open_poll,
    tally,
    why_no_contradiction,
)
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.model import Assignee, Receipt
from icn.domain.mesh.papers import seal_receipt
from icn.kernel.mana import Mana
from support import builders

NONCE = builders.digest("nonce")
JOB = builders.job_id(builders.did(1))


def receipt(executor: int, output: str | None = "right", **changes: object) -> Receipt:
    made = builders.receipt(executor, 1, output=None if output is None else builders.cid(output), nonce=NONCE)
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by name


def poll(*shown: Receipt | None) -> Poll:
    """Executors 2, 3, …, each with its receipt; None: pledged only."""
    executors = range(2, 2 + len(shown))
    made = open_poll(JOB, 1, tuple(Assignee(builders.did(n), builders.did(n), Mana(1)) for n in executors))
    for number, said in zip(executors, shown, strict=True):
        made = made.with_part(builders.did(number), Part.PLEDGED, commitment=b"c" * 32)
        if said is not None:
            sealed = seal_receipt(said, builders.signer(number))
            made = made.with_part(builders.did(number), Part.REVEALED, receipt=sealed)
    return made


def test_a_commitment_fits_its_own_receipt_only() -> None:
    bound = commitment_to(receipt(2))
    assert fits(receipt(2), bound)
    for other in (
        receipt(2, "wrong"),
        receipt(2, None, exit=ExitKind.TRAPPED),
        receipt(3),  # copied by another executor
        receipt(2, nonce=builders.digest("another")),
        receipt(2, nonce=NONCE[:16]),
    ):
        assert not fits(other, bound)
    assert commitment_to(receipt(2, None, exit=ExitKind.TRAPPED)) != commitment_to(
        receipt(2, None, exit=ExitKind.OUT_OF_FUEL)
    )


def test_a_short_nonce_fits_nothing_even_where_it_was_committed_to() -> None:
    weak = receipt(2, nonce=b"")
    assert not fits(weak, commitment_to(weak))


def test_more_than_half_of_all_assigned_agree_whoever_answered() -> None:
    found = agreed(poll(receipt(2), receipt(3), receipt(4, "wrong")))
    assert found is not None
    assert [ballot.executor for ballot in found[1]] == [builders.did(2), builders.did(3)]
    assert agreed(poll(receipt(2), None, None)) is None, "one of three is no majority, however few have spoken"
    assert agreed(poll(receipt(2), receipt(3, "b"), receipt(4, "c"))) is None


@pytest.mark.parametrize(
    "differing",
    [
        {"output": builders.cid("wrong")},
        {"exit_code": 1},
        {"fuel_used": 9},
        {"profile": "another"},
        {"output": None, "exit": ExitKind.TRAPPED},
    ],
)
def test_whatever_every_node_would_give_alike_is_counted(differing: dict[str, object]) -> None:
    other = replace(receipt(3), **differing)  # type: ignore[arg-type]  # fields by name
    assert len(tally(poll(receipt(2), other))) == 2


def test_time_and_place_are_not_counted() -> None:
    slow = receipt(3, wall_ms=99, memory_peak_bytes=7, detail="slow", nonce=builders.digest("own"))
    assert len(tally(poll(receipt(2), slow))) == 1


def test_who_ran_under_another_profile_does_not_dissent() -> None:
    counted = poll(receipt(2), receipt(3), receipt(4, "wrong"), receipt(5, "wrong", profile="other"), receipt(6))
    found = agreed(counted)
    assert found is not None
    assert [ballot.executor for ballot in dissenting(counted, found[0])] == [builders.did(4)]


def test_a_majority_may_come_about_as_long_as_enough_are_left() -> None:
    assert poll(None, None, None).may_agree
    assert poll(receipt(2), None, receipt(4, "b")).may_agree
    assert not poll(receipt(2), receipt(3, "b"), receipt(4, "c")).may_agree
    left = poll(None, None, None).with_part(builders.did(2), Part.FAILED)
    assert left.may_agree
    assert not left.with_part(builders.did(3), Part.FAILED).may_agree


def test_two_receipts_that_cannot_both_be_right() -> None:
    assert why_no_contradiction(receipt(2), receipt(3, "wrong")) == ""
    assert why_no_contradiction(receipt(2), receipt(3, fuel_used=5)) == ""
    assert why_no_contradiction(receipt(2), receipt(3, None, exit=ExitKind.TRAPPED)) == ""


@pytest.mark.parametrize(
    "other",
    [
        receipt(2, "wrong"),
        receipt(3),
        receipt(3, "wrong", spec=builders.cid("another")),
        receipt(3, "wrong", job=builders.job_id(builders.did(1), "another")),
        receipt(3, "wrong", profile="another"),
        *(receipt(3, None, exit=kind) for kind in ExitKind if not kind.repeatable),
    ],
)
def test_receipts_that_prove_nothing(other: Receipt) -> None:
    assert why_no_contradiction(receipt(2), other)
    assert why_no_contradiction(other, receipt(2))


def test_receipts_without_a_profile_are_not_comparable() -> None:
    assert why_no_contradiction(receipt(2, profile=""), receipt(3, "wrong", profile=""))


def test_a_withdrawal_shows_nothing() -> None:
    assert is_withdrawal(receipt(2, None, exit=ExitKind.CANCELLED))
    assert not is_withdrawal(receipt(2, exit=ExitKind.CANCELLED))
    assert not is_withdrawal(receipt(2, None, exit=ExitKind.TRAPPED))
