"""What a section of the configuration is made of: settings, what their types do not say, and parsers.

Not here: the sections themselves (`schema` lists them).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PlainValidator

from icn.config.database_url import DatabaseUrl
from icn.config.values import Bucket, HostPort, Secret
from icn.kernel.errors import Invalid
from icn.kernel.ids import Did
from icn.protocol.libp2p.multiaddr import Multiaddr

Environment = Literal["production", "development"]
Backend = Literal["sqlite", "sled", "rocksdb", "postgresql", "memory"]

TIMEOUT_MS_MAX = 3_600_000


@dataclass(frozen=True, slots=True)
class Setting:
    """What the type of a setting does not say."""

    doc: str
    key: str | None = None
    """The key in the file, where it differs from the attribute (a unit in its name)."""
    scale: int = 1
    """What one unit outside is inside: 1000 for a key in seconds and an attribute in milliseconds."""
    unit: str = ""
    """The unit inside, for messages and the reference."""
    default_in: Mapping[Environment, int | str] | None = None
    """Defaults that depend on `runtime.environment`."""
    default_with: Mapping[Backend, bool] | None = None
    """Defaults that depend on `storage.backend`; with every other one it is the attribute's own."""
    in_data_dir: str | None = None
    """The default is the file of this name in `runtime.data_dir`."""
    in_data_dir_with: Mapping[Backend, str] | None = None
    """The same by `storage.backend`; with every other one the setting has no value."""
    synonyms: Mapping[str, str] | None = None
    """For a choice: other words for some of it."""
    from_variable: str | None = None
    """For a secret: the setting that names an environment variable to read it from."""
    must_be_set: bool = False
    """For such a setting: a configured name whose variable is missing stops the start."""


_PARSED = {HostPort, Multiaddr, Did, Secret, DatabaseUrl, Bucket, type(Path()), type(None)}
"""What the parsers below give. The file has no null, so None can only be theirs or a default."""


def from_text(parse: Callable[[str], Any]) -> PlainValidator:
    """A validator for a type of ours that is written as text; what `parse` refuses, the loader reports."""

    def validate(value: Any) -> Any:
        if not isinstance(value, str):
            if type(value) in _PARSED:
                return value
            raise ValueError("should be text in quotes")
        try:
            return parse(value)
        except Invalid as error:
            raise ValueError(error.why) from error

    return PlainValidator(validate)


def as_path(text: str) -> Path:
    """The path of a file or directory. Raises `ValueError` for what was meant as something else."""
    if not text or "\0" in text:
        raise ValueError("should be the path of a file or directory")
    if "://" in text:
        raise ValueError("is a URL; a path belongs there, or for storage a URL that begins with postgresql://")
    if text.startswith("~"):
        raise ValueError("begins with ~, which only a shell expands; write ${HOME} instead")
    return Path(text)


def as_secret(text: str) -> Secret:
    """A secret. Raises `ValueError` for one that is blank."""
    if not text.strip():
        raise ValueError("is empty")
    return Secret(text)


def as_variable_name(text: str) -> str:
    """The name of an environment variable. Raises `ValueError` for what cannot be one."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("should be the name of an environment variable")
    return text


def as_tuple(value: Any) -> Any:
    """A list as the tuple that a frozen section holds."""
    return tuple(value) if isinstance(value, list) else value


class Section(BaseModel):
    """A section of the file. Frozen; hides values in errors, since they may be secrets."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )
