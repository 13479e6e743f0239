"""The demo tells the truth: it ends well when all is well, and not when something is off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO_SECS_MAX = 180

pytestmark = pytest.mark.slow


def play(program: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ICN_")} | env
    return subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEMO_SECS_MAX,
        cwd=ROOT / "demo",
        env=environment,
    )


def test_it_ends_well() -> None:
    told = play("import sys, run; sys.exit(run.main())")
    assert told.returncode == 0, told.stdout + told.stderr
    for part in ("same output CID", "supply identity holds", "in its first attempt", "stopped cleanly"):
        assert part in told.stdout


@pytest.mark.parametrize(
    "broken",
    [
        "node_process.NODE = '/nonexistent/icn-node'",
        "node_process.NODE = '/bin/false'",
        "run.primes_below = lambda limit: 4",
        "run.open_receipt = lambda data: (_ for _ in ()).throw(run.Off('not its signature'))",
    ],
    ids=["no program", "no node", "wrong output", "wrong receipt"],
)
def test_it_does_not_when_something_is_off(broken: str) -> None:
    told = play(f"import sys, run, node_process; {broken}; sys.exit(run.main())")
    assert told.returncode == 1, told.stdout
    assert "OFF" in told.stderr
    assert "All of it took" not in told.stdout
