"""Values that stand elsewhere: `X_FILE`, `x_env = "NAME"` and `${NAME}` (surface, "Secrets").

`${NAME}` is NAME's value, or the content of the file that NAME_FILE names; `$${` is a literal `${`. What was put in
is not expanded again, so a password may hold any character; in the user and password of a database's URL it is
percent-encoded for the same reason. Secrets in the files of container platforms end in a newline, which is removed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from icn.config.database_url import credentials_end
from icn.config.sources import Unusable

SECRET_BYTES_MAX = 64 * 1024
_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Found:
    """Text from elsewhere, and from where."""

    text: str = field(repr=False)
    causes: tuple[str, ...]


class Variables:
    """The environment as given, and which of its variables something referred to."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self.referred_to: set[str] = set()

    def names(self) -> list[str]:
        """All names, sorted, so that complaints come in the same order each time."""
        return sorted(self._environ)

    def text(self, name: str) -> str:
        """The value of a variable that `names()` lists."""
        return self._environ[name]

    def find(self, name: str) -> Found | None:
        """The value of `name`, or the content of the file that `name`_FILE names; None when neither is set.

        Raises:
            Unusable: the file cannot be read, or both are set and differ.
        """
        file_name = f"{name}_FILE"
        self.referred_to |= {name, file_name}
        direct = self._environ.get(name)
        if file_name not in self._environ:
            return None if direct is None else Found(direct, (f"environment {name}",))
        path = self._environ[file_name]
        cause = f"environment {file_name}"
        try:
            found = read_secret_file(path)
        except Unusable as error:
            raise Unusable(error.what, (cause, *error.causes)) from error
        if direct is not None and direct != found.text:
            raise Unusable(f"{name} and {file_name} are both set and differ", (f"environment {name}", cause))
        return Found(found.text, (cause, *found.causes))


def read_secret_file(path: str) -> Found:
    """The content of the file at `path`, without the newline at its end.

    Raises:
        Unusable: no file can be read there, or it holds no text.
    """
    cause = f"file {path}"
    try:
        with Path(path).open("rb") as file:
            data = file.read(SECRET_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise Unusable(f"cannot be read: {reason}", (cause,)) from error
    if len(data) > SECRET_BYTES_MAX:
        raise Unusable(f"is longer than {SECRET_BYTES_MAX} bytes", (cause,))
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Unusable("is not UTF-8 text", (cause,)) from None  # the cause would carry the secret's bytes
    if not text.strip():
        raise Unusable("is empty", (cause,))
    return Found(text, (cause,))


def expand(text: str, variables: Variables) -> Found:
    """`text` with every `${NAME}` replaced; its causes say by what, and are empty when there was nothing to replace.

    Raises:
        Unusable: a name is malformed, not set, or its file cannot be read.
    """
    causes: list[str] = []
    encoded_to = credentials_end(text)

    def replacement(match: re.Match[str]) -> str:
        name = match.group(1)
        if match.group() == "$${":
            return "${"
        if name is None or not _NAME.match(name):
            raise Unusable("holds a ${ that does not begin a reference ${NAME}; write $${ for a literal ${")
        reference = f"${{{name}}}"
        try:
            found = variables.find(name)
        except Unusable as error:
            raise Unusable(error.what, (reference, *error.causes)) from error
        if found is None:
            raise Unusable(f"{reference} is undefined: neither {name} nor {name}_FILE is set", (reference,))
        causes.extend((reference, *found.causes))
        return quote(found.text, safe="") if match.start() < encoded_to else found.text

    return Found(_REFERENCE.sub(replacement, text), tuple(causes))
