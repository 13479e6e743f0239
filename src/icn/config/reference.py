"""`docs/config.md` and the files of `config init`, written from the schema, so that they cannot drift from it."""

import textwrap

from icn.config import templates
from icn.config.aliases import ALIASES
from icn.config.catalog import Entry, Form, catalog, outside
from icn.config.explain import toml_text
from icn.config.flags import FLAGS

_INTRODUCTION = """\
# Configuration

Generated from the schema by `icn.config.reference`; do not edit.

A value comes from, later ones winning: the default, a template (test mode), the file given by `--config`, the
environment, the flags. `icn-node config show --effective --origin` prints every value and where it came from;
`icn-node config check` prints everything that is wrong. An unknown section, key or variable that begins with `ICN_`
stops the start. `icn-cli` has variables of its own (`ICN_NODE_URL`, `ICN_CACERT`, `ICN_CLI_…`), and Kubernetes sets
some for a service whose name begins with icn; those are left alone.

Every key can be given

- in the file, as `key = value` below `[section]`;
- in the environment, as `ICN_SECTION_KEY`, or by the shorter name listed below; lists with commas;
- as `--set section.key=value`, or by its own flag.

A secret can also be given as the path of a file that holds it: `key_file` in the file, `ICN_…_FILE` in the environment.
Where a key that ends in `_env` names a variable, the variable or its `_FILE` form holds the secret. In every text of
the file and the environment, `${NAME}` is replaced by the variable NAME, or by the content of the file that NAME_FILE
names; `$${` stands for `${`. A secret on the command line works and gives a warning.

Two different values for one setting in one place, under two of its spellings, are refused.
"""

_TEST_MODE = """\
## Test mode

`--test-mode` is a template: it sets the defaults below, and whatever you set yourself stays. Without an API key it also
sets `security.require_auth = false`, which is refused on an address that other machines can reach. Together with an
explicit `environment = "production"` it is refused.

"""


def reference() -> str:
    """The page `docs/config.md`."""
    parts = [_INTRODUCTION]
    table = catalog()
    for section, model in table.sections.items():
        parts.append(f"## [{section}]\n\n{(model.__doc__ or '').strip()}\n")
        parts.append("| key | value | default | flag | meaning |\n|---|---|---|---|---|")
        parts[-1] += "".join(f"\n{_row(entry)}" for entry in table.entries.values() if entry.section == section) + "\n"
    parts.append(
        _TEST_MODE + "\n".join(f"- `{key} = {toml_text(value)}`" for key, value in templates.TEST_MODE.items())
    )
    rows = [f"| `{a.spelling}` | `ICN_{a.spelling.replace('.', '_').upper()}` | `{a.canonical}` |" for a in ALIASES]
    parts.append("## Other spellings\n\nThe preferred key is the one on the right.\n")
    parts.append("| also accepted | variable | means |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(entry: Entry) -> str:
    flags = ", ".join(f"`{flag.name}`" for flag in FLAGS if flag.key in {entry.key, f"{entry.key}_file"})
    name = entry.key.rpartition(".")[2]
    return f"| `{name}` | {_values(entry)} | {_default(entry)} | {flags} | {entry.setting.doc} |"


def _values(entry: Entry) -> str:
    match entry.form:
        case Form.CHOICE:
            return ", ".join(f"`{choice}`{_synonyms(entry, choice)}" for choice in entry.choices)
        case Form.WHOLE:
            return f"{outside(entry.bounds[0], entry.setting.scale)} to {outside(entry.bounds[1], entry.setting.scale)}"
        case Form.TRUTH:
            return "`true`, `false`"
        case Form.TEXT | Form.LIST | Form.SECRET:
            return str(entry.form.value)


def _synonyms(entry: Entry, choice: str) -> str:
    words = [word for word, meant in (entry.setting.synonyms or {}).items() if meant == choice]
    return f" (or {', '.join(f'`{word}`' for word in words)})" if words else ""


def _default(entry: Entry) -> str:
    setting = entry.setting
    if setting.default_in is not None:
        return ", ".join(f"`{toml_text(value)}` in {name}" for name, value in setting.default_in.items())
    if setting.in_data_dir_with is not None:
        files = ", ".join(f"`{name}` with {backend}" for backend, name in setting.in_data_dir_with.items())
        return f"in `runtime.data_dir`: {files}"
    if setting.default_with is not None:
        others = ", ".join(f"`{toml_text(value)}` with {backend}" for backend, value in setting.default_with.items())
        return f"`{toml_text(entry.default)}`, {others}"
    if setting.in_data_dir is not None:
        return f"`{setting.in_data_dir}` in `runtime.data_dir`"
    if entry.default is None and entry.key != "logging.output":
        return "none"
    default = entry.default
    return f"`{toml_text(default // setting.scale if setting.scale != 1 else default)}`"


def profile_names() -> tuple[str, ...]:
    """What `config init --profile` offers."""
    return tuple(templates.PROFILES)


def profile_text(name: str) -> str:
    """The file that `config init --profile name` writes; `name` is one of `profile_names()`."""
    lines = [f"# configs/{name}.toml", "# Every key and its default: docs/config.md"]
    section = ""
    for key, value in templates.PROFILES[name].items():
        entry = catalog().entries[key]
        if entry.section != section:
            section = entry.section
            lines += ["", f"[{section}]"]
        lines += [
            *textwrap.wrap(entry.setting.doc, 100, initial_indent="# ", subsequent_indent="# "),
            f"{key.rpartition('.')[2]} = {toml_text(value)}",
        ]
    return "\n".join([*lines, ""])
