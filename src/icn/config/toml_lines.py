"""In which line of a TOML text each key stands. tomllib does not say, and an operator wants to know.

Reads texts that tomllib has accepted, so it only has to find its way: keys, strings, brackets and comments. Source:
https://toml.io/en/v1.0.0. Not here: values, and what is wrong with them.
"""

import re
import tomllib

from icn.kernel.errors import InvariantBroken

Path = tuple[str | int, ...]
"""Keys from the top, and positions in arrays: `("network", "bootstrap_peers", 1)`."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
"""What may stand between statements and between the items of an array."""
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # up to two quotes may stand directly before the closing three
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\r\n]*")
"""Numbers, truth values, dates."""


def key_lines(text: str) -> dict[Path, int]:
    """The line, counted from 1, where each key, table and array item of a valid TOML `text` begins."""
    return _Finder(text).read()


class _Finder:
    """A position in the text, and what has been found up to it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Path, int] = {}
        self._counted_to = 0
        self._line = 1

    def read(self) -> dict[Path, int]:
        table: Path = ()
        tables_in: dict[Path, int] = {}
        self._skip(_BETWEEN)
        while self._at < len(self._text):
            if self._take("[["):
                name = self._key()
                position = tables_in.get(name, 0)
                tables_in[name] = position + 1
                table = (*name, position)
                self._note(name)
                self._note(table)
                self._take("]]")
            elif self._take("["):
                table = self._key()
                self._note(table)
                self._take("]")
            else:
                self._pair(table)
            self._skip(_BETWEEN)
        return self._lines

    def _pair(self, table: Path) -> None:
        line = self._here()
        key = self._key()
        for length in range(1, len(key) + 1):  # a dotted key makes tables on its way
            self._lines.setdefault((*table, *key[:length]), line)
        self._skip(_BLANK)
        self._take("=")
        self._skip(_BLANK)
        self._value((*table, *key))

    def _key(self) -> Path:
        parts: list[str] = []
        while True:
            self._skip(_BLANK)
            if self._text[self._at : self._at + 1] in {'"', "'"}:
                parts.append(_unquoted(self._skip(_STRING)))
            else:
                parts.append(self._skip(_BARE_KEY))
            self._skip(_BLANK)
            if not self._take("."):
                return tuple(parts)

    def _value(self, path: Path) -> None:
        match self._text[self._at : self._at + 1]:
            case '"' | "'":
                self._skip(_STRING)
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case _:
                self._skip(_SCALAR)

    def _array(self, path: Path) -> None:
        self._take("[")
        position = 0
        self._skip(_BETWEEN)
        while not self._take("]"):
            self._note((*path, position))
            self._value((*path, position))
            position += 1
            self._skip(_BETWEEN)
            self._take(",")
            self._skip(_BETWEEN)

    def _inline_table(self, path: Path) -> None:
        self._take("{")
        self._skip(_BETWEEN)
        while not self._take("}"):
            self._pair(path)
            self._skip(_BETWEEN)
            self._take(",")
            self._skip(_BETWEEN)

    def _note(self, path: Path) -> None:
        line = self._here()
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line

    def _take(self, mark: str) -> bool:
        if self._text.startswith(mark, self._at):
            self._at += len(mark)
            return True
        return False

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise InvariantBroken(f"the line finder cannot read line {self._here()}, which tomllib accepted")
        self._at = match.end()
        return match.group()


def _unquoted(key: str) -> str:
    return str(tomllib.loads(f"key = {key}")["key"])
