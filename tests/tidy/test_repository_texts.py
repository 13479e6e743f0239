"""What the project's texts do not say: the addresses of package registries, and paths of somebody's machine."""

import re

import pytest

from tidy.source import repository_texts

REGISTRIES = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|yarnpkg\.com|debian\.org|ubuntu\.com|crates\.io|rubygems\.org"
    r"|proxy\.golang\.org|nodesource\.com|conda\.io)\b"
)
MACHINE_PATHS = re.compile(r"(?<![\w.$})*-])/(work|root|opt/wheels|tmp/icn)/\w")
RULES_OF_THIS_KIND = {"tests/tidy/test_repository_texts.py"}


def findings(path: str, text: str) -> list[str]:
    if path in RULES_OF_THIS_KIND:
        return []
    return [
        f"{path}:{number}: {found.group()}"
        for number, line in enumerate(text.splitlines(), start=1)
        for pattern in (REGISTRIES, MACHINE_PATHS)
        for found in pattern.finditer(line)
    ]


def test_no_text_names_a_registry_or_a_path_of_one_machine() -> None:
    """A lock that names a host ties everybody to it; a path that exists on one machine is a mistake elsewhere."""
    found = [finding for path, text in repository_texts() for finding in findings(path, text)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://pypi.org/simple",
        '"resolved": "https://registry.npmjs.org/x"',
        "cp /work/main/x .",
        "cd /root/x",
    ],
)
def test_a_planted_address_or_path_is_found(line: str) -> None:
    assert findings("docs/x.md", line)


@pytest.mark.parametrize(
    "line", ["../work/x", "homework/root/x", "$(HOME)/work/x", "src/icn/work", "the /dag/root route"]
)
def test_what_only_looks_like_one_passes(line: str) -> None:
    assert not findings("docs/x.md", line)


def test_the_locks_check_every_package_by_hash() -> None:
    locks = {path: text for path, text in repository_texts() if re.search(r"(^|/)requirements[\w-]*\.lock$", path)}
    assert set(locks) == {
        *("requirements.lock", "requirements-build.lock", "requirements-dev.lock"),
        "requirements-ray.lock",
        "tests/fuzz/requirements.lock",
        *("tests/interop/py/requirements.lock", "tests/interop/py/requirements-build.lock"),
        "tests/interop/p2pd/requirements.lock",
    }
    few = {
        *("tests/fuzz/requirements.lock", "tests/interop/py/requirements-build.lock"),
        "tests/interop/p2pd/requirements.lock",
    }
    for path, text in locks.items():
        packages = re.split(r"\n(?=[a-zA-Z])", text.strip())
        assert len(packages) > 5 or path in few, path
        for package in packages:
            assert re.match(r"[\w.-]+==\S+", package), f"{path}: not pinned: {package[:60]}"
            assert "--hash=sha256:" in package, f"{path}: no hash: {package[:60]}"
