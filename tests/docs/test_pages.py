"""Every command of the README and of the pages for operators works as it is written there."""

import re
import tomllib
from pathlib import Path

import pytest

from support.pages import ROOT, blocks, commands, run_page
from support.processes import default_ports

pytestmark = pytest.mark.slow

PAGES = sorted((ROOT / "docs" / "operating").glob("*.md"))
WITH_COMMANDS = [page for page in PAGES if blocks(page.read_text(), "bash")]
EXPECTED = tomllib.loads((ROOT / "examples" / "expected.toml").read_text())
PLACEHOLDERS = {
    "12D3KooW…": "$(icn-cli info --output json | grep -o '12D3KooW[A-Za-z0-9]*' | head -n 1)",
    "did:key:z6Mk…": "$(icn-cli --node http://127.0.0.1:7846 info --output json | grep -o 'did:key:[A-Za-z0-9]*')",
}
"""What a reader fills in, and where a reader would look."""


def test_the_readme(tmp_path: Path) -> None:
    lines = [line for block in blocks((ROOT / "README.md").read_text(), "bash") for line in commands(block)]
    made = [line for line in lines if line.startswith("make ")]
    assert [line.split()[1] for line in made] == ["demo", "test"]
    targets = (ROOT / "Makefile").read_text()
    for line in made:  # they are run by people, and by whoever runs this
        assert re.search(rf"^{line.split()[1]}:", targets, re.MULTILINE)
    with default_ports():
        printed = run_page([line for line in lines if line not in made], tmp_path, placeholders=PLACEHOLDERS)
    assert "admitted" in printed


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=[page.stem for page in WITH_COMMANDS])
def test_a_page_for_operators(page: Path, tmp_path: Path) -> None:
    lines = [line for block in blocks(page.read_text(), "bash") for line in commands(block)]
    with default_ports():
        run_page(lines, tmp_path)


def test_the_page_of_examples(tmp_path: Path) -> None:
    page = (ROOT / "examples" / "README.md").read_text()
    lines = [line for block in blocks(page, "bash") for line in commands(block)]
    submitted = [line for line in lines if line.startswith("icn-cli mesh submit")]
    assert len(submitted) == len(EXPECTED)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with default_ports():
        printed = run_page([line for line in lines if line != "python examples/build.py"], tmp_path)
    for name, wanted in EXPECTED.items():
        assert wanted["output"] in printed, name


def test_every_fenced_block_of_commands_is_known_to_be_run() -> None:
    for page in (ROOT / "README.md", ROOT / "examples" / "README.md", *PAGES):
        text = page.read_text()
        fences = re.findall(r"^```(\w*)$", text, re.MULTILINE)
        assert fences[::2] == ["bash"] * (len(fences) // 2), f"{page.name}: only bash, and closed"


@pytest.mark.parametrize(
    "line",
    [
        "icn-cli nonsense",
        "icn-cli --node http://127.0.0.1:1 info",
        "icn-node --nonsense --http-listen-addr 127.0.0.1:0",
        "false | cat",
        "! true",
        'echo "$NOT_SET"',
    ],
)
def test_a_command_that_does_not_work_is_noticed(line: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run_page([line], tmp_path)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "examples" / "README.md", *PAGES], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
