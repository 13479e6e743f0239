"""Settings in environment variables. Every variable that begins with `ICN_` must mean something (surface).

A misspelt name would otherwise be ignored in silence, and the node would run with a default that nobody chose.
"""

import re

from icn.config import absent
from icn.config.catalog import VARIABLE_PREFIX, Catalog, suggestion
from icn.config.secrets import Variables
from icn.config.sources import Given, Layer, Origin, Problem

_OF_THE_CLI = re.compile(r"ICN_(NODE_URL|CACERT|CLI_[A-Z0-9_]+)\Z")
"""`icn-cli` reads these; a shell often has both programs' variables."""
_SERVICE_LINK_NAME = re.compile(
    r"ICN_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)\Z"
)
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")
"""Kubernetes gives every container `ICN_NODE_SERVICE_HOST`, `ICN_NODE_PORT=tcp://…` and their like for a service that
is called icn-node. Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables."""


def read_environment(variables: Variables, catalog: Catalog) -> list[Given]:
    """Every variable that is a setting."""
    return [
        Given(spelling.key, variables.text(name), Origin(Layer.ENVIRONMENT, f"environment {name}"), textual=True)
        for name in variables.names()
        if (spelling := catalog.variables.get(name))
    ]


def unknown_variables(variables: Variables, catalog: Catalog) -> list[Problem]:
    """A problem for each `ICN_` variable that nothing reads. Asked last: a setting may refer to a variable by name."""
    return [
        Problem(f"environment {name}", _complaint(name, catalog))
        for name in variables.names()
        if name.startswith(VARIABLE_PREFIX)
        and name not in catalog.variables
        and name not in variables.referred_to
        and not _OF_THE_CLI.match(name)
        and not _is_service_link(name, variables.text(name))
    ]


def _complaint(name: str, catalog: Catalog) -> str:
    if name in absent.VARIABLES:
        return absent.SENTENCE
    return f"unknown variable{suggestion(name, catalog.variables)}"


def _is_service_link(name: str, value: str) -> bool:
    if _SERVICE_LINK_NAME.match(name):
        return True
    return name.endswith("_PORT") and bool(_SERVICE_LINK_VALUE.match(value))
