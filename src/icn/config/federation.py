"""The section `[federation]`: what a node founds, and by what it joins."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from icn.config.section import Section, Setting, as_tuple, from_text
from icn.config.values import Secret
from icn.domain.federation.invitation import read_line
from icn.kernel.ids import Did
from icn.kernel.mana import MANA_MAX

JoinPolicy = Literal["open", "invite", "vote"]

FEDERATION_NAME_CHARS_MAX = 64


def _federation_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", text) or len(text) > FEDERATION_NAME_CHARS_MAX:
        raise ValueError(
            f"should be at most {FEDERATION_NAME_CHARS_MAX} of a-z 0-9 . _ - and begin with a letter or digit"
        )
    return text


def _invitation(text: str) -> Secret:
    read_line(text)
    return Secret(text)


class FederationSettings(Section):
    """The federation that this node founds when it joins none (semantics §3); recorded in its genesis."""

    name: Annotated[str, from_text(_federation_name), Setting("Its name.")] = "icn"
    join_policy: Annotated[
        JoinPolicy,
        Setting(
            "How nodes join: `open` lets anybody in who knows an address; with `invite` a newcomer has an invitation, "
            "or one member admits it; with `vote` more than half of the members vote for it.",
            default_in={"development": "open", "production": "invite"},
        ),
    ]
    initial_grant: Annotated[
        int, Field(ge=0, le=MANA_MAX), Setting("Mana that a new account begins with.", unit="mana")
    ] = 1000
    mana_cap: Annotated[int, Field(ge=0, le=MANA_MAX), Setting("Regeneration ends at this balance.", unit="mana")] = (
        10_000
    )
    founders: Annotated[
        tuple[Annotated[Did, from_text(Did.parse)], ...],
        BeforeValidator(as_tuple),
        Setting("DIDs that are members from the start, beside this node."),
    ] = ()

    invitation: Annotated[
        Secret | None,
        from_text(_invitation),
        Setting(
            "The line of an invitation. A node that is in no federation yet joins by it, and dials the addresses in "
            "it. Better given by variable or file: whoever has it can join in this node's place."
        ),
    ] = None
