"""`ICN_MANA_LEDGER_PATH`, as the deployment guide sets it, with the real program."""

import json
from pathlib import Path

import pytest

from support.processes import Nodes, cli

pytestmark = pytest.mark.slow


def test_the_ledger_s_file_follows_the_ledger_over_starts(tmp_path: Path, nodes: Nodes) -> None:
    node = nodes.make("a")
    path = tmp_path / "mana.sled"
    node.environment = {"ICN_MANA_LEDGER_PATH": str(path)}
    node.start()
    supply = cli(node, "mana", "supply", "--output", "json").json()
    node.stop()
    written = json.loads(path.read_text())
    assert written["supply"]["minted"] == supply["minted"]
    assert [account["owner"] for account in written["accounts"]] == [written["node"]]
    path.write_text("not the ledger")
    node.start()
    assert json.loads(path.read_text())["accounts"] == written["accounts"]
    node.stop()
