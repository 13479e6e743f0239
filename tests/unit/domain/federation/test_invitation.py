"""An invitation as a line of text: what it says, and what is said of one that was cut, retyped or made up."""

from dataclasses import replace

import pytest

from icn.domain.federation.invitation import (
    LINE_CHARS_MAX,
    PREFIX,
    InvitationPaper,
    line_of,
    open_invitation,
    read_line,
    seal_invitation,
)
from icn.kernel.errors import Invalid
from icn.kernel.ids import PeerId
from icn.kernel.limits import INVITATION_ADDRESSES_MAX
from support import builders

ISSUER = builders.did(1)
ADDRESS = f"/ip4/10.0.0.1/tcp/7000/p2p/{PeerId.of(ISSUER)}"
PAPER = InvitationPaper(
    builders.cid("genesis"), "bakers", ISSUER, (ADDRESS,), bytes(range(16)), builders.START, builders.did(2)
)
SEALED = seal_invitation(PAPER, builders.signer(1))
LINE = line_of(SEALED)


def test_a_line_says_what_its_issuer_signed() -> None:
    assert LINE.startswith(PREFIX)
    assert "\n" not in LINE
    assert read_line(LINE) == SEALED
    assert open_invitation(SEALED) == PAPER
    assert open_invitation(seal_invitation(replace(PAPER, node=None), builders.signer(1))).node is None


def test_white_space_that_mail_programs_put_in_counts_for_nothing() -> None:
    wrapped = "\n  ".join(LINE[i : i + 60] for i in range(0, len(LINE), 60))
    assert read_line(f"  {wrapped}\n") == SEALED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "begins with icn-invite:"),
        ("did:key:z6Mk", "begins with icn-invite:"),
        (LINE[: len(PREFIX) + 9] + "!" + LINE[len(PREFIX) + 10 :], f"character {len(PREFIX) + 10}, '!'"),
        (LINE + "é", f"character {len(LINE) + 1}, 'é'"),
        (LINE[:-1], "was cut"),
        (LINE[:-40], "was cut"),
        (PREFIX, "was cut"),
        (PREFIX + "A" * LINE_CHARS_MAX, "at most"),
        (LINE[:60] + ("A" if LINE[60] != "A" else "B") + LINE[61:], "changed on its way"),
    ],
)
def test_what_became_of_a_line_is_said(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said.replace("'", ".")):
        read_line(text)


def test_no_cut_and_no_changed_character_goes_unnoticed() -> None:
    for place in range(len(LINE)):
        with pytest.raises(Invalid):
            read_line(LINE[:place])
        other = "A" if LINE[place] != "A" else "B"
        with pytest.raises(Invalid):
            read_line(LINE[:place] + other + LINE[place + 1 :])


def test_only_its_issuer_makes_one() -> None:
    with pytest.raises(Invalid, match="signature"):
        open_invitation(seal_invitation(PAPER, builders.signer(3)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": b"short"},
        {"name": ""},
        {"name": "x" * 65},
        {"addresses": ()},
        {"addresses": (ADDRESS,) * (INVITATION_ADDRESSES_MAX + 1)},
        {"addresses": ("/" + "x" * 256,)},
        {"name": "x" * 5000},
    ],
)
def test_a_paper_has_bounds(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        open_invitation(seal_invitation(replace(PAPER, **wrong), builders.signer(1)))  # type: ignore[arg-type]  # wrong on purpose
