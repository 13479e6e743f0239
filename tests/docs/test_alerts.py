"""The alerting rules that are shipped: Prometheus takes them, they fire when they should, on what nodes really tell."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.pages import ROOT

RULES = ROOT / "configs" / "alerts.yml"
TESTS = Path(__file__).with_name("alerts.yml")
ABSENT = "promtool is not installed (Debian package prometheus)"


def promtool(*words: str) -> str:
    """What it said. Skips where it is not installed; fails where it finds something."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(ABSENT)
    ran = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_prometheus_takes_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", str(RULES))


def test_each_alert_fires_and_ends_when_it_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(TESTS))
    names = re.findall(r"alert: (\w+)", RULES.read_text())
    assert names
    assert set(names) == set(re.findall(r"alertname: (\w+)", TESTS.read_text()))


def test_the_rules_ask_for_series_that_nodes_have() -> None:
    told = set(re.findall(r"`((?:icn|wasm)_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    asked = set(re.findall(r"\b(?:icn|wasm)_\w+", "".join(re.findall(r"expr: (.*)", RULES.read_text()))))
    assert asked
    assert asked <= told


def test_each_alert_names_a_page_that_says_what_to_do() -> None:
    text = RULES.read_text()
    pages = re.findall(r"runbook: (\S+)", text)
    assert len(pages) == text.count("alert: ")
    for name, page in zip(re.findall(r"alert: (\w+)", text), pages, strict=True):
        assert name in (ROOT / page).read_text(), f"{page} does not speak of {name}"
