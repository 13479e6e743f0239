"""A skip is a failure where everything is installed; absent vectors are counted instead."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.skips import Skip, forbidden
from tidy.source import REPOSITORY


def test_only_what_lies_outside_the_repository_is_forgiven() -> None:
    node = Skip("tests/interop/test_a.py::test_b", "Skipped: Node.js 22 is not installed")
    vectors = Skip("tests/wire/test_a.py::test_b", "Skipped: test vectors absent: somewhere")
    guide = Skip("tests/docs/test_a.py::test_b", "Skipped: the deployment guide is not at somewhere")
    assert forbidden([node, vectors, guide]) == [node]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "require_all", "returncode"),
    [("no tool", "1", 1), ("no tool", "", 0), ("test vectors absent: x", "1", 0)],
)
def test_a_run_with_a_skip(tmp_path: Path, reason: str, require_all: str, returncode: int) -> None:
    shutil.copy(REPOSITORY / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_one.py").write_text(
        f"import pytest\n\ndef test_a():\n    pytest.skip({reason!r})\n\ndef test_b():\n    pass\n"
    )
    environment = {**os.environ, "ICN_TEST_REQUIRE_ALL": require_all, "PYTHONPATH": str(REPOSITORY / "tests")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == returncode, done.stdout + done.stderr
    assert ("test_one.py::test_a: Skipped: no tool" in done.stdout) == (returncode == 1)
    assert ("1 test(s) did not run" in done.stdout) == ("vectors" in reason)
