"""Our source as the rules see it: path, text, tree, comments. Planted sources are made the same way as real ones."""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "icn"
CORE = ("kernel", "domain", "protocol", "stores", "services")
"""The packages that are synchronous and deterministic."""


@dataclass(frozen=True)
class Module:
    """One source file. `path` is relative to the package, with slashes: `domain/ledger/rules.py`."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All of the tree, once for all rules."""
        return list(ast.walk(self.tree))

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        """(line, comment) for each comment."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]

    @property
    def layer(self) -> str:
        """The first part of the path: `kernel`, `http`, or `assemble` for `assemble.py`."""
        return self.path.split("/")[0].removesuffix(".py")

    @property
    def is_core(self) -> bool:
        return self.layer in CORE


@dataclass(frozen=True, order=True)
class Finding:
    """A broken rule, where it is broken, in words that say what to do instead."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def modules_under(folder: Path) -> Iterator[Module]:
    """Every Python file below `folder`, in a fixed order; what is installed in hidden folders is not ours."""
    for path in sorted(folder.rglob("*.py")):
        if "node_modules" not in path.parts and not any(part[0] == "." for part in path.relative_to(folder).parts):
            yield Module(path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8"))


def repository_texts() -> Iterator[tuple[str, str]]:
    """(path, text) of every text file that belongs to the project: no builds, no caches, no installed packages."""
    apart = {"node_modules", "__pycache__", "icn_data", "build", "dist"}
    for path in sorted(REPOSITORY.rglob("*")):
        parts = path.relative_to(REPOSITORY).parts
        if any(part in apart or (part.startswith(".") and part not in {".ci", ".github"}) for part in parts[:-1]):
            continue
        if not path.is_file() or parts[-1].endswith((".pyc", ".egg-info")):
            continue
        try:
            yield "/".join(parts), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture, a module, a golden binary
