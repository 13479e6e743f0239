"""All sources into one complete, valid `Settings`, with the origin of every value.

Precedence: defaults, template, file, environment, flags. Everything that is wrong is reported together. Two values for
one setting in one layer, under two of its spellings, are a problem unless they are equal.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from icn.config.catalog import Catalog, catalog
from icn.config.document import read_document
from icn.config.environment import read_environment, unknown_variables
from icn.config.flags import FlagValue
from icn.config.loaded import LoadedConfig
from icn.config.reading import Reading
from icn.config.secrets import Variables
from icn.config.sources import Given, Layer, Origin, Problem

STORE_SECTIONS = frozenset({"runtime", "storage", "identity"})
"""What a program needs that works on a store itself, beside a node that does not run."""


def load(
    *,
    flags: Mapping[str, FlagValue],
    config_path: Path | None,
    environ: Mapping[str, str],
    sections: Collection[str] | None = None,
) -> LoadedConfig:
    """The configuration of a node.

    With `sections`, only these have to be right: a value elsewhere that is wrong, or whose secret is not there, has its
    default, and no rule is asked that reads another section. What is misspelt is refused wherever it stands.

    Raises:
        ConfigurationRefused: with every problem there is.
    """
    table = catalog()
    variables = Variables(environ)
    givens, problems = read_document(config_path, table) if config_path else ([], [])
    givens += read_environment(variables, table)
    flag_givens, flag_problems = _from_flags(flags, table)
    matter = frozenset(table.sections if sections is None else sections)
    reading = Reading(table, variables, [*problems, *flag_problems], matter)
    for given in (*givens, *flag_givens):
        reading.take(given)
    reading.take_named_secrets()
    reading.fill()
    reading.problems += unknown_variables(variables, table)
    return reading.result()


def _from_flags(flags: Mapping[str, FlagValue], table: Catalog) -> tuple[list[Given], list[Problem]]:
    givens: list[Given] = []
    problems: list[Problem] = []
    for key, (value, flag) in flags.items():
        where = f"flag {flag}"
        if key in table.spellings:
            givens.append(Given(key, value, Origin(Layer.FLAG, where), textual=True))
        else:
            problems.append(Problem(where, f"unknown key{table.nearest_key(key)}"))
    return givens, problems
