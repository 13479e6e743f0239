"""The configuration for people: every value with where it came from, secrets as stars (surface, "Configuration")."""

import json

from icn.config.catalog import Entry, Form, catalog
from icn.config.loaded import LoadedConfig
from icn.config.sources import Layer


def show(loaded: LoadedConfig, *, effective: bool, origin: bool) -> str:
    """The configuration as TOML: all of it when `effective`, else what is not a default; with origins as comments."""
    lines: list[str] = []
    section = ""
    for key, entry in catalog().entries.items():
        came_from = loaded.origins[key]
        if not effective and came_from.layer is Layer.DEFAULT:
            continue
        line = _line(entry, value_of(loaded, entry), came_from.written)
        if entry.section != section:
            section = entry.section
            lines += ([""] if lines else []) + [f"[{section}]"]
        lines.append(f"{line}  # {came_from}" if origin else line)
    return "\n".join([*lines, ""]) if lines else ""


def report(loaded: LoadedConfig) -> str:
    """What `config check` prints when nothing is wrong; what is wrong is the message of `ConfigurationRefused`."""
    settings = loaded.settings
    counted = len(loaded.warnings)
    lines = [
        (
            f"configuration is valid: {settings.runtime.environment}, storage {settings.storage.backend}, "
            f"API on {settings.network.http_listen_addr}"
        ),
        *(f"warning: {warning}" for warning in loaded.warnings),
        *([f"{counted} warning{'s' if counted > 1 else ''}"] if counted else []),
    ]
    return "\n".join([*lines, ""])


def value_of(loaded: LoadedConfig, entry: Entry) -> object:
    """The value of one setting."""
    return getattr(getattr(loaded.settings, entry.section), entry.attribute)


def _line(entry: Entry, value: object, written: str | None) -> str:
    name = entry.key.rpartition(".")[2]
    if value is None and entry.key != "logging.output":
        return f"# {name} is not set"
    if entry.form is Form.SECRET:
        return f"{name} = {toml_text(value)}"
    if written is not None and entry.form in {Form.TEXT, Form.LIST}:
        return f"{name} = {json.dumps(written, ensure_ascii=False)}"
    scale = entry.setting.scale
    if scale != 1 and isinstance(value, int):
        return f"{name} = {value // scale}" if value % scale == 0 else f"{entry.attribute} = {value}"
    return f"{name} = {toml_text(value)}"


def toml_text(value: object) -> str:
    """A value as the file would have it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case tuple() if type(value) is tuple:  # a name of a node is one, too
            return f"[{', '.join(toml_text(item) for item in value)}]"
        case None:
            return '"stderr"'  # the only setting whose absence is a choice: where the log goes
        case _:
            return json.dumps(str(value), ensure_ascii=False)
