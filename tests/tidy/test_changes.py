"""Fragments in changes/ are well formed, so that the next release's CHANGELOG can be made of them."""

import re

import pytest

from tidy.source import REPOSITORY

FRAGMENT = re.compile(r"\d{3}\.(feature|fix|breaking|operator)\.md")
LINES_MAX = 20


def faults(name: str, text: str) -> list[str]:
    found = []
    if not FRAGMENT.fullmatch(name):
        found.append(f"{name}: the name is NNN.feature.md, .fix.md, .breaking.md or .operator.md")
    if not text.strip():
        found.append(f"{name}: empty")
    elif not text.rstrip().endswith((".", "!", "`", ")")):
        found.append(f"{name}: sentences end with a full stop")
    if text.startswith(("#", "-", "*")):
        found.append(f"{name}: prose, without a heading or a bullet")
    if len(text.splitlines()) > LINES_MAX:
        found.append(f"{name}: more than {LINES_MAX} lines; the rest belongs in docs/")
    return found


def test_every_fragment_is_well_formed() -> None:
    folder = REPOSITORY / "changes"
    found = [
        fault
        for path in sorted(folder.iterdir())
        if path.name != "README.md"
        for fault in faults(path.name, path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("1.feature.md", "Nodes find each other."),
        ("001.improvement.md", "Nodes find each other."),
        ("001.feature.txt", "Nodes find each other."),
        ("001.fix.md", "\n"),
        ("001.fix.md", "# Fix\nIt works."),
        ("001.fix.md", "no stop"),
        ("001.fix.md", "A line.\n" * 21),
    ],
)
def test_a_malformed_fragment_is_found(name: str, text: str) -> None:
    assert faults(name, text)


def test_a_sound_fragment_passes() -> None:
    assert not faults("001.operator.md", "Back up `head.marker` too: it tells a restored node that it is one.\n")
