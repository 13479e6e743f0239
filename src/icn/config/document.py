"""The configuration file: read, never written. Unknown sections and keys are problems that name their line."""

import re
import tomllib
from pathlib import Path

from icn.config import absent, toml_lines
from icn.config.catalog import Catalog, suggestion
from icn.config.sources import Given, Layer, Origin, Problem
from icn.kernel.limits import MIB

DOCUMENT_BYTES_MAX = 1 * MIB


def read_document(path: Path, catalog: Catalog) -> tuple[list[Given], list[Problem]]:
    """Every known key of the file at `path` with its line, and a problem for everything else."""
    try:
        with path.open("rb") as file:
            data = file.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        return [], [Problem(str(path), f"cannot be read: {error.strerror or type(error).__name__}")]
    if len(data) > DOCUMENT_BYTES_MAX:
        return [], [Problem(str(path), f"is longer than {DOCUMENT_BYTES_MAX} bytes")]
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return [], [Problem(f"{path}:{line}", "is not UTF-8 text")]
    text = text.replace("\r\n", "\n")
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return [], [_syntax_problem(path, text, str(error))]
    return _Walk(path, catalog, toml_lines.key_lines(text)).through(tree)


def _syntax_problem(path: Path, text: str, message: str) -> Problem:
    found = re.search(r"\(at line (\d+), column \d+\)", message)
    line = int(found.group(1)) if found else text.count("\n") + 1
    return Problem(f"{path}:{line}", f"is not valid TOML: {message}")


class _Walk:
    """One reading of a parsed file."""

    def __init__(self, path: Path, catalog: Catalog, lines: dict[toml_lines.Path, int]) -> None:
        self._path = path
        self._catalog = catalog
        self._lines = lines
        self._givens: list[Given] = []
        self._problems: list[Problem] = []

    def through(self, tree: dict[str, object]) -> tuple[list[Given], list[Problem]]:
        sections = self._catalog.section_names()
        for name, value in tree.items():
            if name in sections and isinstance(value, dict):
                for key, inner in value.items():
                    self._setting((name, key), inner)
            elif name in sections:
                self._refuse((name,), f"{name}: is a section; write [{name}] and its keys below")
            elif isinstance(value, dict) and name in absent.KEYS:
                self._refuse((name,), f"[{name}] {absent.SENTENCE}")
            elif isinstance(value, dict):
                self._refuse((name,), f"[{_shown(name)}]: unknown section{_near_section(name, sections)}")
            else:
                self._setting((name,), value)
        return self._givens, self._problems

    def _setting(self, path: tuple[str, ...], value: object) -> None:
        key = ".".join(path)
        if key in absent.KEYS:
            self._refuse(path, f"{key} {absent.SENTENCE}")
            return
        if key not in self._catalog.spellings or any("." in part for part in path):
            self._refuse(path, f"{_shown(key)}: unknown key{self._catalog.nearest_key(key)}")
            return
        origin = Origin(Layer.FILE, self._place(path))
        count = len(value) if isinstance(value, list) else 0
        places = tuple(self._place((*path, position)) for position in range(count))
        self._givens.append(Given(key, value, origin, textual=False, item_places=places))

    def _refuse(self, path: tuple[str, ...], what: str) -> None:
        self._problems.append(Problem(self._place(path), what))

    def _place(self, path: toml_lines.Path) -> str:
        return f"{self._path}:{self._lines[path]}"


def _near_section(name: str, sections: tuple[str, ...]) -> str:
    near = suggestion(name.lower(), sections)
    return near.replace("mean ", "mean [").replace("?", "]?") if near else f"; there are {', '.join(sections)}"


def _shown(key: str) -> str:
    """A foreign key, which may be of any length and hold any sign."""
    return key if key.isprintable() and len(key) <= 80 else repr(key[:80])
