"""Every dependency has its reason, in pyproject.toml and in docs/dependencies.md, and none is listed that is gone."""

import ast
import re
import sys
import tomllib
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tidy.source import PACKAGE, REPOSITORY, modules_under

COME_WITH_ANOTHER = {"starlette": "fastapi", "pydantic_core": "pydantic"}
"""Imported here though not declared, because they are the public half of what is."""


def _declared() -> set[str]:
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    listed = [*project["project"]["dependencies"], *project["project"].get("optional-dependencies", {}).values()]
    listed += [entry for group in project["dependency-groups"].values() for entry in group]
    flat = [name for entry in listed for name in (entry if isinstance(entry, list) else [entry])]
    return {re.split(r"[<>=!~;\[ ]", name)[0] for name in flat if isinstance(name, str)}


def test_the_page_of_dependencies_lists_exactly_those_declared() -> None:
    page = (REPOSITORY / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", page, flags=re.MULTILINE)) == _declared()


def test_each_declared_dependency_has_its_reason_beside_it() -> None:
    lines = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for name in sorted(_declared()):
        beside = [line for line in lines if re.match(rf'\s*"{re.escape(name)}(\[[\w,-]+\])?[<>=!~]', line)]
        assert beside, name
        assert all("#" in line and len(line.split("#")[1].strip()) > 5 for line in beside), beside


def _locked(name: str) -> dict[str, str]:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    return {
        canonicalize_name(package): version for package, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    }


def test_the_locks_hold_what_is_declared_and_agree_with_each_other() -> None:
    """A dependency was added or raised without `make lock`, or one lock was written without the others."""
    everything = _locked("requirements-dev.lock")
    for lock in ("requirements.lock", "requirements-build.lock"):
        assert _locked(lock).items() <= everything.items(), lock
    with_ray = _locked("requirements-ray.lock")
    assert _locked("requirements.lock").items() <= with_ray.items()
    apart = {name for name in with_ray.keys() & everything.keys() if with_ray[name] != everything[name]}
    assert not apart, "both are installed into one environment"
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    declared = [*project["project"]["dependencies"]]
    declared += [entry for group in project["dependency-groups"].values() for entry in group if isinstance(entry, str)]
    for requirement in map(Requirement, declared):
        version = everything.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is in no lock: make lock"
        assert requirement.specifier.contains(version), f"{requirement}, but {version} is locked: make lock"
    for requirement in map(Requirement, project["project"]["dependencies"]):
        assert canonicalize_name(requirement.name) in _locked("requirements.lock"), requirement


def test_what_the_node_imports_is_declared() -> None:
    known = {name.replace("-", "_") for name in _declared()} | set(sys.stdlib_module_names) | {"icn"}
    known |= {name for name, source in COME_WITH_ANOTHER.items() if source in _declared()}
    found = []
    for module in modules_under(PACKAGE):
        for node in module.nodes:
            match node:
                case ast.Import(names=names):
                    roots = {alias.name.split(".")[0] for alias in names}
                case ast.ImportFrom(module=str(source), level=0):
                    roots = {source.split(".")[0]}
                case _:
                    continue
            found += [f"{module.path}:{node.lineno}: {root}" for root in sorted(roots - known)]
    assert not found, "\n".join(found)
