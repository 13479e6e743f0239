"""The program as it is started by what closes its streams."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import clean_environment

PROGRAM = [sys.executable, "-c", "import sys; from icn.node.main import main; sys.exit(main())"]
CHECK = [*PROGRAM, "config", "check", "--test-mode"]
PROBE = """
import os, sys
from icn.node.main import main
try:
    main(["--version"])
except SystemExit:
    sys.exit(os.open(os.devnull, os.O_RDONLY))
"""
NUMBERS = [sys.executable, "-c", PROBE]


def ended(program: list[str], closed: str, cwd: Path) -> int:
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *program]
    return subprocess.run(
        shell, cwd=cwd, capture_output=True, timeout=60, check=False, env=clean_environment()
    ).returncode


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere_and_nothing_else_gets_their_numbers(closed: str, tmp_path: Path) -> None:
    assert ended(CHECK, closed, tmp_path) == 0
    assert ended(NUMBERS, closed, tmp_path) > 2
