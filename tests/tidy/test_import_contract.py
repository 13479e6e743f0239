"""The arrows point down, and the contract notices when one does not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidy.source import PACKAGE, REPOSITORY

PLANTED = {
    "domain imports adapters": ("domain/planted.py", "adapters/planted.py"),
    "kernel imports domain": ("kernel/planted.py", "domain/planted.py"),
    "stores import protocol": ("stores/planted.py", "protocol/planted.py"),
    "ledger imports mesh": ("domain/ledger/planted.py", "domain/mesh/planted.py"),
    "network imports storage": ("adapters/network/planted.py", "adapters/storage/planted.py"),
    "services import config": ("services/planted.py", "config/planted.py"),
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    return subprocess.run(
        [*command, "--no-cache"], cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / "src" / "icn", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def plant(root: Path, path: str, text: str) -> str:
    """Put a module there, with its packages, and say its name."""
    file = root / "src" / "icn" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    for package in (file.parent, file.parent.parent):
        (package / "__init__.py").touch()
    file.write_text(text)
    return "icn." + path.removesuffix(".py").replace("/", ".")


@pytest.mark.slow
def test_the_source_keeps_the_contract(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("importer", "imported"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_upward_import_is_found(copy: Path, importer: str, imported: str) -> None:
    name = plant(copy, imported, '"""Planted."""\n')
    planted = plant(copy, importer, f'"""Planted."""\n\nimport {name}\n')
    done = lint(copy)
    assert done.returncode == 1
    assert f"{planted} -> {name}" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_a_new_top_level_package_must_be_given_its_place(copy: Path) -> None:
    plant(copy, "extras/planted.py", '"""Planted."""\n')
    done = lint(copy)
    assert done.returncode == 1
    assert "extras" in done.stdout + done.stderr
