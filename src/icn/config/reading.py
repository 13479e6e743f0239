"""One load under way: values parsed, secrets fetched, gaps filled, layers merged.

Nothing is raised before the end, so that everything that is wrong is known by then. Not here: how each source is read.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from icn.config import check, templates
from icn.config.catalog import Catalog, Entry, Form, Means, Rejected, Spelling
from icn.config.database_url import DatabaseUrl, is_database_url
from icn.config.loaded import LoadedConfig
from icn.config.schema import Settings
from icn.config.secrets import Variables, expand, read_secret_file
from icn.config.sources import ConfigurationRefused, Given, Layer, Origin, Problem, Unusable
from icn.config.wording import in_reading_order, problem_of

_STORAGE_PATH = "storage.path"
_CONNECTION_STRING = "storage.connection_string"
"""A URL given as the path is this (surface, "Configuration")."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A parsed value with its origin. The highest layer's is chosen."""

    value: Any
    origin: Origin


class Reading:
    """One load under way: what has been parsed, and what was wrong with the rest."""

    def __init__(
        self, table: Catalog, variables: Variables, problems: list[Problem], sections: AbstractSet[str]
    ) -> None:
        self.problems = problems
        self._sections = sections
        """Those that matter: what is wrong in others is not reported."""
        self._table = table
        self._variables = variables
        self._candidates: dict[str, list[_Candidate]] = {key: [] for key in table.entries}
        self._doubtful: set[str] = set()
        """Settings that had a wrong value: rules about them would only repeat the complaint."""
        self._warnings: list[str] = []

    def take(self, given: Given) -> None:
        """Parse one value and remember it, or why it does not do."""
        spelling = self._table.spellings[given.key]
        entry, origin = spelling.entry, given.origin
        try:
            value, origin, textual = self._resolved(given, spelling)
        except Unusable as error:
            self._doubt(entry, Problem(origin.where, f"{given.key} {error.what}", error.causes))
            return
        if entry.key == _STORAGE_PATH and isinstance(value, str) and is_database_url(value):
            entry = self._table.entries[_CONNECTION_STRING]
        try:
            parsed = entry.parsed(value, textual=textual, scale=spelling.scale)
        except Rejected as error:
            for complaint in error.complaints:
                self._doubt(entry, problem_of(given, entry, origin, complaint))
            return
        if origin.layer is Layer.FLAG and spelling.means is Means.VALUE and _is_secret(entry, parsed):
            variable = self._table.shortest_variable(entry)
            self._warn(
                entry,
                f"{origin.where}: a secret on the command line can be read by every user of this machine; "
                f"give it as {variable}_FILE or {variable}",
            )
        self._candidates[entry.key].append(_Candidate(parsed, origin))

    def take_named_secrets(self) -> None:
        """Look up the variables that `api_key_env` and its like name, in the highest layer that names one.

        The secret belongs to that layer: a variable named by the file gives way to `ICN_API_KEY`.
        """
        for entry in self._table.entries.values():
            if entry.setting.from_variable is None:
                continue
            named = self._table.entries[entry.setting.from_variable]
            names = self._candidates[named.key]
            layer = max((naming.origin.layer for naming in names), default=Layer.DEFAULT)
            for naming in names:
                if naming.origin.layer is layer:
                    self._take_named(entry, named, naming)

    def _take_named(self, entry: Entry, named: Entry, naming: _Candidate) -> None:
        name, origin = naming.value, naming.origin
        try:
            found = self._variables.find(name)
            if found is not None:
                value = entry.parsed(found.text, textual=True, scale=1)
                self._candidates[entry.key].append(_Candidate(value, replace(origin, causes=found.causes)))
                return
        except Unusable as error:
            self._doubt(entry, Problem(origin.where, f"{entry.key} {error.what}", error.causes))
            return
        except Rejected as error:
            cause = f"environment {name} or {name}_FILE"
            self._doubt(entry, Problem(origin.where, f"{entry.key} {error}", (cause,)))
            return
        if any(candidate.origin.layer >= origin.layer for candidate in self._candidates[entry.key]):
            return
        what = f"{named.key} names {name}, but neither {name} nor {name}_FILE is set"
        if named.setting.must_be_set:
            self._doubt(entry, Problem(origin.where, what))
        else:
            self._warn(entry, f"{origin.where}: {what}")

    def fill(self) -> None:
        """Add defaults and templates, so that every setting has a value."""
        for entry in self._table.entries.values():
            if not entry.depends:
                self._default(entry, entry.default, "default")
        if self._chosen("runtime.test_mode"):
            self._apply_template(templates.TEST_MODE, "test mode")
            if self._chosen("security.api_key") is None and "security.api_key" not in self._doubtful:
                self._apply_template(templates.TEST_MODE_WITHOUT_API_KEY, "test mode without an API key")
        environment = self._chosen("runtime.environment")
        data_dir = self._chosen("runtime.data_dir")
        backend = self._chosen("storage.backend")
        for entry in self._table.entries.values():
            setting = entry.setting
            if setting.default_in is not None:
                self._default(entry, setting.default_in[environment], f"default in {environment}")
            elif setting.in_data_dir is not None:
                self._default(entry, data_dir / setting.in_data_dir, "default in runtime.data_dir")
            elif setting.in_data_dir_with is not None:
                name = setting.in_data_dir_with.get(backend)
                self._default(entry, data_dir / name if name else None, f"default with {backend}")
            elif setting.default_with is not None:
                self._default(entry, setting.default_with.get(backend, entry.default), f"default with {backend}")

    def result(self) -> LoadedConfig:
        """The whole, when nothing is wrong with it."""
        chosen = {key: self._winner(key) for key in self._table.entries}
        tree: dict[str, dict[str, Any]] = {}
        for key, candidate in chosen.items():
            entry = self._table.entries[key]
            tree.setdefault(entry.section, {})[entry.attribute] = candidate.value
        settings = Settings.model_validate(tree)
        origins = {key: candidate.origin for key, candidate in chosen.items()}
        self.problems += check.problems_in(settings, origins, self._doubtful, self._sections)
        if self.problems:
            raise ConfigurationRefused(tuple(sorted(self.problems, key=in_reading_order)))
        about_all = check.warnings_in(settings, origins) if self._sections >= self._table.sections.keys() else []
        return LoadedConfig(settings, origins, (*self._warnings, *about_all))

    def _resolved(self, given: Given, spelling: Spelling) -> tuple[object, Origin, bool]:
        """The value itself, its origin with causes, and whether it is text. Raises `Unusable`."""
        value, origin = given.value, given.origin
        causes: tuple[str, ...] = ()
        if origin.layer is not Layer.FLAG:  # a shell has expanded those
            value, causes = self._expanded(value)
        if spelling.means is Means.FILE:
            if not isinstance(value, str):
                raise Unusable("should be the path of a file, in quotes")
            found = read_secret_file(value)
            return found.text, replace(origin, causes=(*causes, *found.causes)), True
        if not causes:
            return value, origin, given.textual
        written = given.value if isinstance(given.value, str) else ", ".join(map(str, _items(given.value)))
        return value, replace(origin, causes=causes, written=written), given.textual or isinstance(value, str)

    def _expanded(self, value: object) -> tuple[object, tuple[str, ...]]:
        if isinstance(value, str):
            found = expand(value, self._variables)
            return found.text, found.causes
        if not isinstance(value, list):
            return value, ()
        items = [self._expanded(item) for item in value]
        return [item for item, _ in items], tuple(cause for _, causes in items for cause in causes)

    def _apply_template(self, template: Mapping[str, object], name: str) -> None:
        for key, value in template.items():
            parsed = self._table.entries[key].parsed(value, textual=False, scale=1)
            self._candidates[key].append(_Candidate(parsed, Origin(Layer.TEMPLATE, name)))

    def _default(self, entry: Entry, value: Any, where: str) -> None:
        self._candidates[entry.key].append(_Candidate(value, Origin(Layer.DEFAULT, where)))

    def _chosen(self, key: str) -> Any:
        return max(self._candidates[key], key=lambda candidate: candidate.origin.layer).value

    def _winner(self, key: str) -> _Candidate:
        candidates = self._candidates[key]
        layer = max(candidate.origin.layer for candidate in candidates)
        first, *others = (candidate for candidate in candidates if candidate.origin.layer is layer)
        for other in others:
            if other.value != first.value:
                self._doubt(
                    self._table.entries[key],
                    Problem(
                        other.origin.where, f"{key} is set differently by {first.origin.where}", other.origin.causes
                    ),
                )
        return first

    def _doubt(self, entry: Entry, problem: Problem) -> None:
        if entry.section in self._sections:
            self.problems.append(problem)
        self._doubtful.add(entry.key)

    def _warn(self, entry: Entry, warning: str) -> None:
        if entry.section in self._sections:
            self._warnings.append(warning)


def _is_secret(entry: Entry, parsed: object) -> bool:
    return parsed.has_password if isinstance(parsed, DatabaseUrl) else entry.form is Form.SECRET


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
