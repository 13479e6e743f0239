"""The table of what ran against other implementations: written by the tests that ran it, and compared with what stands.

One section of `docs/interoperability.md` for each implementation, under a heading with its version; one line for each
capability; one cell for each direction: `yes`, or why not.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interoperability.md"
DIRECTIONS = ("we dial", "they dial")
YES = "yes"

Cells = Mapping[tuple[str, str], str]
"""By capability and direction."""


def heading(name: str) -> str:
    """How the section of an implementation begins."""
    return f"## {name} "


def section(name: str, version: str, capabilities: Sequence[str], cells: Cells) -> str:
    """The section as it must stand, without a line feed at its end."""
    rows = [("capability", *DIRECTIONS), ("---", *("---" for _ in DIRECTIONS))]
    rows += [(what, *(cells[what, direction] for direction in DIRECTIONS)) for what in capabilities]
    return "\n".join([f"{heading(name)}{version}", "", *(f"| {' | '.join(row)} |" for row in rows)])


def standing(page: str, name: str) -> str:
    """The section of an implementation in `page`; empty when there is none."""
    found = re.search(rf"^{re.escape(heading(name))}.*?(?=\n## |\Z)", page, re.DOTALL | re.MULTILINE)
    return found.group().rstrip("\n") if found else ""


def with_section(page: str, name: str, text: str) -> str:
    """`page` with the section of an implementation replaced, or added at its end."""
    old = standing(page, name)
    return page.replace(old, text) if old else f"{page.rstrip()}\n\n{text}\n"
