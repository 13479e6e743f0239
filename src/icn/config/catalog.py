"""The schema as a table: every key, every spelling of it, its environment variable, and the nearest to a misspelt one.

Derived from `schema` and `aliases`; nothing is listed twice. Built on first use, not at import.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from icn.config.aliases import ALIASES
from icn.config.database_url import DatabaseUrl
from icn.config.schema import Settings
from icn.config.section import Section, Setting
from icn.config.values import Secret
from icn.kernel.errors import require

VARIABLE_PREFIX = "ICN_"
FILE_SUFFIX = "_file"
_NEAR = 0.7
"""How alike a suggestion must be, as difflib counts."""


class Form(Enum):
    """How a value is written where there is only text."""

    TEXT = "text"
    CHOICE = "choice"
    WHOLE = "whole number"
    TRUTH = "true or false"
    LIST = "list"
    SECRET = "secret"  # noqa: S105 - a word, not one


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a value."""

    what: str
    item: int | None = None
    """In a list, the position of the item that is wrong."""
    may_quote: bool = False
    """Whether `what` may repeat a part of the value, which must then not be, or hold, a secret."""


class Rejected(Exception):
    """A value does not fit its setting."""

    def __init__(self, *complaints: Complaint) -> None:
        self.complaints = complaints
        super().__init__("; ".join(complaint.what for complaint in complaints))


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One setting."""

    key: str
    """Canonical: `network.max_peers`."""
    section: str
    attribute: str
    setting: Setting
    form: Form
    choices: tuple[str, ...]
    default: Any
    """None when it depends on others: see `setting.default_in` and its neighbours."""
    bounds: tuple[int, int]
    """Least and most, in the unit inside; (0, 0) for what is not a number."""
    adapter: TypeAdapter[Any]

    @property
    def depends(self) -> bool:
        """Whether its default depends on other settings."""
        setting = self.setting
        dependent = (setting.default_in, setting.default_with, setting.in_data_dir, setting.in_data_dir_with)
        return any(default is not None for default in dependent)

    def parsed(self, value: object, *, textual: bool, scale: int) -> Any:
        """`value` as the schema's type.

        Raises:
            Rejected: it does not fit.
        """
        if textual and isinstance(value, str):
            value = self._from_text(value)
        if self.form is Form.CHOICE and isinstance(value, str):
            value = self._choice(value)
        if scale != 1 and isinstance(value, int) and not isinstance(value, bool):
            value *= scale
        try:
            return self.adapter.validate_python(value, strict=True)
        except ValidationError as error:
            complaints = [self._complaint(detail, scale) for detail in error.errors()]
            raise Rejected(*complaints) from None  # the foreign error holds the value

    def _from_text(self, text: str) -> object:
        match self.form:
            case Form.WHOLE:
                if not re.fullmatch(r"\s*-?[0-9]{1,20}\s*", text):
                    raise Rejected(Complaint("should be a whole number"))
                return int(text)
            case Form.TRUTH:
                truth = _TRUTHS.get(text.strip().lower())
                if truth is None:
                    raise Rejected(Complaint("should be true or false"))
                return truth
            case Form.LIST:
                return [part.strip() for part in text.split(",") if part.strip()]
            case Form.TEXT | Form.CHOICE | Form.SECRET:
                return text

    def _choice(self, text: str) -> str:
        lowered = text.strip().lower()
        synonyms = self.setting.synonyms or {}
        if (meant := synonyms.get(lowered, lowered)) in self.choices:
            return meant
        near = suggestion(lowered, (*self.choices, *synonyms))
        raise Rejected(Complaint(f"should be one of {', '.join(self.choices)}{near}"))

    def _complaint(self, detail: Any, scale: int) -> Complaint:
        match detail["type"]:
            case "value_error":
                what = detail["msg"].removeprefix("Value error, ")
            case "greater_than_equal":
                what = f"should be at least {outside(detail['ctx']['ge'], scale)}"
            case "less_than_equal":
                what = f"should be at most {outside(detail['ctx']['le'], scale)}"
            case "int_type" | "int_from_float":
                what = "should be a whole number, without quotes"
            case "bool_type":
                what = "should be true or false, without quotes"
            case "tuple_type":
                what = 'should be a list: ["…", "…"]'
            case "literal_error":
                what = f"should be one of {', '.join(self.choices)}, in quotes"
            case _:
                what = detail["msg"].replace("Input should", "should")
        item = next((place for place in detail["loc"] if isinstance(place, int)), None)
        return Complaint(what, item, may_quote=detail["type"] == "value_error")


_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def outside(bound: int, scale: int) -> int:
    """A bound in the unit that the operator writes."""
    return max(1, bound // scale) if bound else 0


class Means(Enum):
    """What stands under a spelling."""

    VALUE = "value"
    FILE = "file"
    """The path of a file that holds the value."""


@dataclass(frozen=True, slots=True, eq=False)
class Spelling:
    """One way to write a setting."""

    key: str
    entry: Entry
    means: Means
    scale: int

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return VARIABLE_PREFIX + self.key.replace(".", "_").upper()


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """All settings in the order of the schema, and all their spellings."""

    entries: dict[str, Entry]
    spellings: dict[str, Spelling]
    variables: dict[str, Spelling]
    sections: dict[str, type[Section]]

    def section_names(self) -> tuple[str, ...]:
        """Canonical sections and those that exist as another spelling only (`api`)."""
        return tuple(dict.fromkeys(key.partition(".")[0] for key in self.spellings if "." in key))

    def shortest_variable(self, entry: Entry) -> str:
        """The variable that people use for a setting: `ICN_API_KEY` rather than `ICN_SECURITY_API_KEY`."""
        names = [s.variable for s in self.spellings.values() if s.entry is entry and s.means is Means.VALUE]
        return min(names, key=len)

    def nearest_key(self, key: str) -> str:
        """`; did you mean …?` for a key that does not exist, or nothing when none is near."""
        section, dot, name = key.rpartition(".")
        for entry_key in self.entries:
            if entry_key.rpartition(".")[2] == name:  # right, but in the wrong section
                return f"; did you mean {entry_key}?"
        if dot:
            beside = {k.rpartition(".")[2]: k for k in self.spellings if k.rpartition(".")[0] == section}
            if close := difflib.get_close_matches(name, beside, n=1, cutoff=_NEAR):
                return f"; did you mean {beside[close[0]]}?"
        return suggestion(key, self.spellings)


def suggestion(word: str, choices: Iterable[str]) -> str:
    """`; did you mean …?` with the choice nearest to `word`, or nothing when none is near."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=_NEAR)
    return f"; did you mean {close[0]}?" if close else ""


@cache
def catalog() -> Catalog:
    """The table of this release."""
    entries: dict[str, Entry] = {}
    sections: dict[str, type[Section]] = {}
    for section, section_field in Settings.model_fields.items():
        model = section_field.annotation
        require(isinstance(model, type) and issubclass(model, Section), "every field of Settings is a section")
        sections[section] = model  # type: ignore[assignment] # - required just above
        for attribute, info in sections[section].model_fields.items():
            entry = _entry(section, attribute, info)
            entries[entry.key] = entry
    spellings: dict[str, Spelling] = {}
    for entry in entries.values():
        _add_spelling(spellings, entry.key, entry, entry.setting.scale)
    for alias in ALIASES:
        entry = entries[alias.canonical]
        _add_spelling(spellings, alias.spelling, entry, entry.setting.scale if alias.scale is None else alias.scale)
    variables = {spelling.variable: spelling for spelling in spellings.values()}
    require(len(variables) == len(spellings), "no two spellings share an environment variable")
    return Catalog(entries, spellings, variables, sections)


def _add_spelling(spellings: dict[str, Spelling], key: str, entry: Entry, scale: int) -> None:
    require(key not in spellings, "every spelling means one thing")
    spellings[key] = Spelling(key, entry, Means.VALUE, scale)
    if entry.form is Form.SECRET:
        spellings[key + FILE_SUFFIX] = Spelling(key + FILE_SUFFIX, entry, Means.FILE, 1)


def _entry(section: str, attribute: str, info: FieldInfo) -> Entry:
    settings = [item for item in info.metadata if isinstance(item, Setting)]
    require(len(settings) == 1, "every field of a section is described by one Setting")
    bounds = [next((getattr(m, name) for m in info.metadata if hasattr(m, name)), 0) for name in ("ge", "le")]
    return Entry(
        key=f"{section}.{settings[0].key or attribute}",
        section=section,
        attribute=attribute,
        setting=settings[0],
        form=_form(info.annotation),
        choices=tuple(get_args(info.annotation)) if get_origin(info.annotation) is Literal else (),
        default=None if info.default is PydanticUndefined else info.default,
        bounds=(bounds[0], bounds[1]),
        adapter=_adapter(info),
    )


def _form(annotation: Any) -> Form:
    if get_origin(annotation) is Literal:
        return Form.CHOICE
    if get_origin(annotation) is tuple:
        return Form.LIST
    members = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    if Secret in members or DatabaseUrl in members:
        return Form.SECRET
    if bool in members:
        return Form.TRUTH
    return Form.WHOLE if int in members else Form.TEXT


def _adapter(info: FieldInfo) -> TypeAdapter[Any]:
    annotation: Any = info.annotation
    for item in info.metadata:
        annotation = Annotated[annotation, item]
    return TypeAdapter(annotation)
