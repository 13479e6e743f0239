"""Says why two nodes of different versions do not understand each other, in words for the operators of both.

A protocol's version is the number at the end of its id, `/icn/feed/1`. Versions are not negotiated: two nodes of one
federation speak the same one or none, because they must agree on every record. So a node that meets another version
ends the connection and says which of the two is older; the other node, which meets ours, says the same.
"""

import re
from collections.abc import Sequence

from icn.kernel.errors import require

_VERSIONED = re.compile(r"(?P<family>/.+)/(?P<version>[0-9]{1,9})", re.ASCII)
SPOKEN_SHOWN_MAX = 4
"""Versions of one family that a message names."""


def mismatch(ours: str, spoken: Sequence[str]) -> str:
    """Why a peer that says it speaks `spoken` does not take our protocol `ours`, which has a version."""
    own = _VERSIONED.fullmatch(ours)
    require(own is not None, "a protocol of ours has a version")
    family, version = (own["family"], int(own["version"])) if own else (ours, 0)
    others = filter(None, map(_VERSIONED.fullmatch, spoken))
    theirs = sorted(int(other["version"]) for other in others if other["family"] == family)
    if not theirs:
        return f"does not speak {family}: it is no node of ours, or of a version that had another name for it"
    shown = ", ".join(f"{family}/{number}" for number in theirs[:SPOKEN_SHOWN_MAX])
    older = "upgrade this node" if theirs[0] > version else "that node is to be upgraded"
    return f"speaks {shown}, this node {ours}: {older}"
