"""ICN: a node that cooperatives run to federate."""

__version__ = "0.1.0"
