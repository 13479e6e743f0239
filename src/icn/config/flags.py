"""The flags of `icn-node` that set something, as data, and what argparse makes of them.

Not here: running programs. A flag's value is text, judged by `load` with all others, so that a wrong flag is reported
beside a wrong line of the file.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from icn.config.sources import ConfigurationRefused, Problem


class FlagValue(NamedTuple):
    """What a flag gave, and the flag as it was typed."""

    value: str
    flag: str

    def __repr__(self) -> str:
        return f"FlagValue(…, {self.flag!r})"  # the value may be a secret


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: the key it sets, and the text it stands for when it takes no value."""

    name: str
    key: str
    metavar: str | None
    doc: str
    fixed: str | None = None
    repeatable: bool = False

    @property
    def destination(self) -> str:
        """The attribute in argparse's namespace, out of the way of the program's own."""
        return "setting " + self.name


FLAGS = (
    Flag("--test-mode", "runtime.test_mode", None, "in memory, without P2P, with a demonstration federation", "true"),
    Flag("--environment", "runtime.environment", "NAME", "production (default) or development"),
    Flag("--log-level", "runtime.log_level", "LEVEL", "debug, info, warning or error"),
    Flag("--standby", "runtime.standby", None, "wait while another process holds the store", "true"),
    Flag("--no-standby", "runtime.standby", None, "end when another process holds the store", "false"),
    Flag("--data-dir", "runtime.data_dir", "DIR", "where files go whose own path is not configured"),
    Flag("--http-listen-addr", "network.http_listen_addr", "HOST:PORT", "where the HTTP API listens"),
    Flag("--p2p-enabled", "network.p2p_enabled", None, "talk to other nodes", "true"),
    Flag("--no-p2p", "network.p2p_enabled", None, "do not talk to other nodes", "false"),
    Flag("--p2p-listen-addr", "network.p2p_listen_addr", "MULTIADDR", "where other nodes reach this one"),
    Flag(
        "--bootstrap-peers",
        "network.bootstrap_peers",
        "MULTIADDR[,MULTIADDR…]",
        "nodes to call first; may be given several times",
        repeatable=True,
    ),
    Flag(
        "--storage-backend",
        "storage.backend",
        "NAME",
        "what keeps the data: sqlite (default), sled (which is LMDB here), rocksdb, postgresql or memory",
    ),
    Flag("--storage-path", "storage.path", "PATH", "the database's file or directory; for postgresql, its URL"),
    Flag("--db-url", "storage.connection_string", "URL", "the database of postgresql: postgresql://user@host/name"),
    Flag("--node-did", "identity.node_did", "DID", "the DID this node must have"),
    Flag("--api-key", "security.api_key", "KEY", "the operator's key; visible to other users of this machine"),
    Flag("--api-key-file", "security.api_key_file", "PATH", "a file that holds the operator's key"),
    Flag("--metrics-enabled", "monitoring.metrics_enabled", None, "serve metrics", "true"),
    Flag("--no-metrics", "monitoring.metrics_enabled", None, "serve no metrics", "false"),
    Flag("--metrics-bind-addr", "monitoring.metrics_bind_addr", "HOST:PORT", "where metrics are served"),
    Flag("--federation-name", "federation.name", "NAME", "the name of a federation that this node founds"),
    Flag("--join-policy", "federation.join_policy", "POLICY", "open, invite or vote, for such a federation"),
)

_CONFIG = "setting --config"
_SET = "setting --set"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, every flag of `FLAGS` and `--set` to `parser`.

    The parser should be made with `allow_abbrev=False`: a script that says `--api` today must mean the same tomorrow.
    Absent flags leave nothing in the namespace, so a parser and its subparser may both have them.
    """
    group = parser.add_argument_group("configuration")
    absent = argparse.SUPPRESS
    group.add_argument("--config", dest=_CONFIG, metavar="FILE", type=Path, default=absent, help="a TOML file")
    for flag in FLAGS:
        if flag.fixed is not None:
            group.add_argument(
                flag.name, dest=flag.destination, action="store_const", const=flag.fixed, default=absent, help=flag.doc
            )
        else:
            action = "append" if flag.repeatable else "store"
            group.add_argument(
                flag.name, dest=flag.destination, action=action, metavar=flag.metavar, default=absent, help=flag.doc
            )
    group.add_argument(
        "--set",
        dest=_SET,
        action="append",
        metavar="SECTION.KEY=VALUE",
        default=absent,
        help="any setting by its key; lists with commas; may be given several times",
    )


def config_path_from(namespace: argparse.Namespace) -> Path | None:
    """The file that `--config` names."""
    path = vars(namespace).get(_CONFIG)
    return path if isinstance(path, Path) else None


def flags_from(namespace: argparse.Namespace) -> dict[str, FlagValue]:
    """What the flags set, by key.

    Raises:
        ConfigurationRefused: two flags set one key, or a `--set` has no `=`.
    """
    given = vars(namespace)
    found: dict[str, FlagValue] = {}
    problems: list[Problem] = []
    for flag in FLAGS:
        match given.get(flag.destination):
            case str(value):
                _put(found, problems, flag.key, FlagValue(value, flag.name))
            case list(values):
                _put(found, problems, flag.key, FlagValue(",".join(values), flag.name))
    for assignment in given.get(_SET, []):
        key, equals, value = assignment.partition("=")
        if not equals:
            problems.append(Problem("flag --set", "should be followed by section.key=value"))
        else:
            _put(found, problems, key.strip(), FlagValue(value, f"--set {key.strip()}"))
    if problems:
        raise ConfigurationRefused(tuple(problems))
    return found


def _put(found: dict[str, FlagValue], problems: list[Problem], key: str, value: FlagValue) -> None:
    earlier = found.get(key)
    if earlier is not None and earlier.value != value.value:
        problems.append(Problem(f"flag {value.flag}", f"contradicts {earlier.flag}: both set {key}"))
    found[key] = value
