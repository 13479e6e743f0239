import pytest

from icn.kernel.errors import Invalid, InvariantBroken, Kind, Refusal, require


def test_require_passes_what_holds_and_stops_at_what_does_not() -> None:
    require(1 + 1 == 2, "arithmetic holds")
    with pytest.raises(InvariantBroken, match="supply is conserved"):
        require(1 + 1 == 3, "supply is conserved")


def test_a_refusal_carries_its_code_its_kind_and_the_values_that_offended() -> None:
    refusal = Invalid("did", "too short")
    assert (refusal.code, refusal.kind) == ("invalid", Kind.INVALID)
    assert refusal.fields() == {"what": "did", "why": "too short"}
    assert str(refusal) == "did: too short"


def test_fields_hold_only_what_a_problem_document_can_carry() -> None:
    class Odd(Refusal):
        def __init__(self) -> None:
            self.account = "did:key:z6Mk"
            self.amount = 3
            self.inner = object()

    assert Odd().fields() == {"account": "did:key:z6Mk", "amount": 3}
