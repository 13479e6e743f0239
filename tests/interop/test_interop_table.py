"""The table of what ran says what ran, and nothing of an earlier run stays in it."""

from support.interop_table import DIRECTIONS, YES, section, standing, with_section

WHAT = ["ping", "identify"]
RAN = {(what, direction): YES for what in WHAT for direction in DIRECTIONS}
PAGE = "# Page\n\nWords.\n"


def test_a_section_that_was_written_stands():
    text = section("js", "1.2", WHAT, RAN)
    page = with_section(PAGE, "js", text)
    assert standing(page, "js") == text
    assert page.startswith(PAGE)


def test_writing_again_replaces_only_that_section():
    page = with_section(with_section(PAGE, "js", section("js", "1.2", WHAT, RAN)), "go", section("go", "3", WHAT, RAN))
    changed = section("js", "1.3", WHAT, RAN | {("ping", "we dial"): "no: they do not"})
    page = with_section(page, "js", changed)
    assert standing(page, "js") == changed
    assert standing(page, "go") == section("go", "3", WHAT, RAN)
    assert "1.2" not in page


def test_a_version_or_a_cell_that_changed_is_another_section():
    text = section("js", "1.2", WHAT, RAN)
    assert section("js", "1.3", WHAT, RAN) != text
    assert section("js", "1.2", WHAT, RAN | {("ping", "they dial"): "no: x"}) != text


def test_an_implementation_that_never_ran_has_no_section():
    assert standing(PAGE, "js") == ""
