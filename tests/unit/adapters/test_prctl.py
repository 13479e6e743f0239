"""A process ends with the one that started it, also where that one was quicker."""

import subprocess
import sys

BEGUN = "import os; from icn.adapters.prctl import end_with; end_with(os.getppid() + {}); print('goes on')"


def begun(off: int) -> tuple[int, str]:
    ran = subprocess.run([sys.executable, "-c", BEGUN.format(off)], check=False, capture_output=True, text=True)
    return ran.returncode, ran.stdout


def test_it_goes_on_while_who_started_it_is_there() -> None:
    assert begun(0) == (0, "goes on\n")


def test_it_ends_at_once_where_who_started_it_has_gone() -> None:
    assert begun(1) == (1, "")
