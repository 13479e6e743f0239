"""Writes the references that are made from the code. `make docs` runs it; tests/tidy compares what is committed.

Run from anywhere: python tools/generate_docs.py [--check]
"""

# ruff: noqa: INP001 - a script, run by its path

import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import icn
from icn import __version__
from icn.adapters.metrics import reference_page as metrics_page
from icn.cli.reference import reference as cli_reference
from icn.config.reference import reference as config_reference
from icn.http.app import OPERATIONS
from icn.http.openapi import document
from icn.kernel.errors import Fault, Refusal

REPOSITORY = Path(__file__).resolve().parents[1]
EXTRAS = ("ray",)
"""What may not be installed: programs that import it have no leaves of their own, so the page does not depend on it."""


def error_leaves() -> list[type[Refusal] | type[Fault]]:
    """Every refusal and fault of the package that nothing of ours specialises further, by code."""
    for module in pkgutil.walk_packages(icn.__path__, "icn."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if error.name not in EXTRAS:
                    raise
    leaves = {cls for root in (Refusal, Fault) for cls in _descendants(root) if not any(_ours(cls.__subclasses__()))}
    return sorted(leaves, key=lambda cls: (cls.code, cls.__module__, cls.__qualname__))


def _ours(classes: list[type]) -> Iterator[type]:
    return (cls for cls in classes if cls.__module__.startswith("icn."))


def _descendants(root: type[Refusal] | type[Fault]) -> Iterator[type[Refusal] | type[Fault]]:
    for cls in root.__subclasses__():
        if cls.__module__.startswith("icn."):
            yield cls
            yield from _descendants(cls)


def _sentence(cls: type) -> str:
    """The first paragraph of the docstring, on one line."""
    paragraph = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
    return " ".join(paragraph.split()).replace("|", "\\|")


def errors_page() -> str:
    """docs/errors.md: what programs may match on."""
    leaves = error_leaves()
    refusals = [
        f"| `{cls.code}` | {cls.kind.value} | {_sentence(cls)} | `{cls.__module__}` |"
        for cls in leaves
        if issubclass(cls, Refusal)
    ]
    faults = [
        f"| `{cls.code}` | {'yes' if cls.retryable else 'no'} | {_sentence(cls)} | `{cls.__module__}` |"
        for cls in leaves
        if issubclass(cls, Fault)
    ]
    return "\n".join(
        [
            "# Error codes",
            "",
            "*Made from the classes by `make docs`. A code never changes its meaning; programs may match on it.*",
            "",
            "## Refusals: the rules say no",
            "",
            "The caller changes the request. Answers carry the code, the kind and the values that offended.",
            "",
            "| code | kind | meaning | defined in |",
            "|---|---|---|---|",
            *refusals,
            "",
            "## Faults: the world failed us",
            "",
            "The operator, or time, must help. Callers see a general message and a request id; the log has the cause.",
            "",
            "| code | worth trying again | meaning | defined in |",
            "|---|---|---|---|",
            *faults,
            "",
        ]
    )


def openapi_document() -> str:
    """openapi.json: the API as served, to be looked at in review."""
    return json.dumps(document(OPERATIONS, __version__), indent=1, ensure_ascii=False) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "docs/errors.md": errors_page,
    "docs/config.md": config_reference,
    "docs/cli.md": cli_reference,
    "docs/metrics.md": metrics_page,
    "openapi.json": openapi_document,
}
"""Path to the function that makes its text. A new reference is a line here."""


def main(arguments: list[str]) -> int:
    """Write the pages; with --check, only say which differ."""
    stale = []
    for path, page in PAGES.items():
        file, text = REPOSITORY / path, page()
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(path)
            if "--check" not in arguments:
                file.write_text(text, encoding="utf-8")
    verb = "differs from the code" if "--check" in arguments else "written"
    for path in stale:
        sys.stdout.write(f"{path}: {verb}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
