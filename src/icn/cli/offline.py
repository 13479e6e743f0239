"""Commands that work on a store itself when no node does: which of the two it is, and the open store.

The rule for commands that can do both: if a node answers at the session's address, it does the work; otherwise the
store is opened here, with the configuration that icn-node would read: the options below, the file, the environment.
What was chosen is said, so that nobody takes one store for another. Two processes never write one store: each engine
refuses the second.

The store's sections of the configuration must be right, the others may be wrong or lack their secrets: a store can be
checked and copied where no node could start.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from icn.cli.arguments import argument
from icn.cli.endings import Ended, Exit

if TYPE_CHECKING:
    from icn.adapters.storage.opening import StorageSettings
    from icn.cli.session import Session
    from icn.config.loaded import LoadedConfig
    from icn.config.schema import Settings
    from icn.kernel.ids import Did
    from icn.stores.kv import KeyValueStore

HEALTH_SECONDS_MAX = 2.0
"""A node answers this at once, or is not there."""

STORE_ARGUMENTS = (
    argument("--config", metavar="FILE", type=Path, help="without a node: the node's configuration file"),
    argument("--storage-backend", metavar="NAME", help="without a node: sqlite, sled, rocksdb or postgresql"),
    argument("--storage-path", metavar="PATH", help="without a node: the store's file or directory, or its URL"),
    argument("--db-url", metavar="URL", help="without a node: the database of postgresql"),
    argument("--data-dir", metavar="DIR", help="without a node: where files are whose own path is not configured"),
)
"""Which store, spelt as icn-node spells it; ICN_ variables count as they do there."""

OFFLINE_ARGUMENTS = (
    *STORE_ARGUMENTS,
    argument("--offline", action="store_true", help="do not ask a node: work on the store itself"),
)
"""For commands that can do both."""

_KEYS = {
    "storage_backend": ("storage.backend", "--storage-backend"),
    "storage_path": ("storage.path", "--storage-path"),
    "db_url": ("storage.connection_string", "--db-url"),
    "data_dir": ("runtime.data_dir", "--data-dir"),
}
STORE_OPTIONS = ("config", *_KEYS)
"""What they are called once they are parsed."""


@dataclass(frozen=True, slots=True)
class Offline:
    """A store that this process has open, alone."""

    store: "KeyValueStore"
    loaded: "LoadedConfig"
    """Of which only the sections `runtime`, `storage` and `identity` mean anything."""
    owner: "Did | None"
    """Whose store it is; None when it is empty."""

    def configured_did(self) -> "Did | None":
        """Whose key the configuration names; see `configured_did`."""
        return configured_did(self.loaded)


def configured_did(loaded: "LoadedConfig") -> "Did | None":
    """Whose key the configured key file holds; None where there is none, or it does not say. No passphrase needed.

    Raises:
        KeyFileUnavailable, KeyFileDamaged: there is a file, and it cannot be read.
    """
    from icn.adapters.keys.file import KeyFileMissing, did_in

    try:
        return did_in(loaded.settings.identity.key_path)
    except KeyFileMissing:
        return None


def node_answers(session: "Session") -> bool:
    """Whether an ICN node is alive at the session's address.

    Raises `Ended` where the address itself is wrong, and where somebody is there whose certificate is not trusted: it
    may be the node, and which of the two stores is meant is not for this program to guess.
    """
    from icn.cli.client import UNTRUSTED, Client
    from icn.cli.settings import connection_of

    connection = connection_of(session.given, session.world.environ(), patience=HEALTH_SECONDS_MAX)
    try:
        answer = Client(connection, session.world, "cli-health").get("/health").document()
    except Ended as ended:  # nobody, or somebody who does not talk like a node: the store's own lock decides
        if ended.code == UNTRUSTED:
            raise
        return False
    return bool(answer.value_or_none("status") == "ok")


def goes_through_node(session: "Session", given: argparse.Namespace) -> bool:
    """Whether a node is to do the work of a command that can do both; says what was chosen where that could surprise.

    Raises:
        Ended: with USAGE for `--node` beside `--offline`; with UNREACHABLE when `--node` names one that is not there.
    """
    asked_for = hasattr(given, "node")
    if getattr(given, "offline", False):
        if asked_for:
            raise Ended(Exit.USAGE, "--node and --offline are both given", next_step="Leave one out.")
        return False
    address = _address(session)
    if node_answers(session):
        named = [flag for name, (_, flag) in _KEYS.items() if hasattr(given, name)]
        if named or hasattr(given, "config"):
            options = ", ".join([*named, *(["--config"] if hasattr(given, "config") else [])])
            session.world.say(
                f"the node at {address} does it, on its own store; {options} is not looked at (--offline looks)"
            )
        return True
    if asked_for:
        raise Ended(
            Exit.UNREACHABLE,
            f"no node answers at {address}",
            code="cli.unreachable",
            next_step="Leave out --node to work on the store itself.",
        )
    return False


@contextmanager
def open_offline(session: "Session", given: argparse.Namespace, *, must_exist: bool) -> Iterator[Offline]:
    """The configured store, opened here and closed afterwards; standard error says which.

    With `must_exist`, a store is never made where there was none. A store of an earlier format is not brought up.

    Raises:
        Ended: with NOT_FOUND_OR_UNVERIFIED when there is no store; with FAULT when a process uses it, naming it.
        ConfigurationRefused: the store's sections are wrong.
        Fault: the engine's; `StoreNewer`, `StoreOlder`.
    """
    from icn.config.storage import storage
    from icn.stores.schema import require_current

    loaded = load_for_store(session, given)
    store = open_store_here(
        storage(require_lasting(loaded)), place=str(loaded.settings.storage.place), must_exist=must_exist
    )
    try:
        owner = _owner_of(store)
        require_current(store)
        if must_exist and owner is None:
            raise _nothing_at(f"{shown(loaded)} is empty")
        session.world.say(f"working on the store itself: {shown(loaded)}")
        yield Offline(store, loaded, owner)
    finally:
        store.close()


def holds_nothing(loaded: "LoadedConfig") -> bool:
    """Whether the configured store is empty, or not there, or holds what a restore that broke off has left in it.

    Raises as `open_offline` does.
    """
    from icn.adapters.storage.opening import is_there
    from icn.config.storage import storage
    from icn.stores.moving import is_filling

    settings = storage(require_lasting(loaded))
    if not is_there(settings):
        return True
    store = open_store_here(settings, place=str(loaded.settings.storage.place), must_exist=False)
    try:
        return is_filling(store) or next(iter(store.scan(b"")), None) is None
    finally:
        store.close()


def require_lasting(loaded: "LoadedConfig") -> "Settings":
    """The settings, of a store that outlives its node. Raises `Ended`."""
    if loaded.settings.storage.backend == "memory":
        raise Ended(
            Exit.CONFIGURATION,
            "storage.backend is memory, which ends with its node: there is nothing to open",
            code="cli.no_store",
            next_step="Name a store by --storage-backend and --storage-path, or --config.",
        )
    return loaded.settings


def shown(loaded: "LoadedConfig") -> str:
    """Which store it is, for messages."""
    chosen = loaded.settings.storage
    return f"{chosen.backend} at {chosen.place}"


def load_for_store(session: "Session", given: argparse.Namespace) -> "LoadedConfig":
    """The configuration as icn-node would read it, as far as it is about the store. Warnings go to standard error."""
    from icn.cli.settings import TOKEN_VARIABLES
    from icn.config.flags import FlagValue
    from icn.config.load import STORE_SECTIONS, load

    flags = {key: FlagValue(getattr(given, name), flag) for name, (key, flag) in _KEYS.items() if hasattr(given, name)}
    loaded = load(
        flags=flags,
        config_path=getattr(given, "config", None),
        environ={  # the token is this program's, which a node would refuse as a setting that it has not
            name: value for name, value in session.world.environ().items() if name not in TOKEN_VARIABLES
        },
        sections=STORE_SECTIONS,
    )
    for warning in loaded.warnings:
        session.world.say(f"warning: {warning}")
    return loaded


def open_store_here(settings: "StorageSettings", *, place: str, must_exist: bool) -> "KeyValueStore":
    """Open a store for this process alone. Raises `Ended` as `open_offline` does, and the faults of the engine."""
    from icn.adapters.storage.opening import is_there, open_store

    if must_exist and not is_there(settings):
        raise _nothing_at(f"there is no store at {place}")
    with refusing_used():
        return open_store(settings)


@contextmanager
def refusing_used() -> Iterator[None]:
    """Tells what to do about a store that another process has open. Raises `Ended`."""
    from icn.stores.kv import StoreInUse

    try:
        yield
    except StoreInUse as fault:
        raise Ended(
            Exit.FAULT,
            str(fault),
            code=fault.code,
            next_step="Stop that process; or, if it is a node, let it do the work: --node URL, without --offline.",
        ) from fault


def _nothing_at(what: str) -> Ended:
    return Ended(
        Exit.NOT_FOUND_OR_UNVERIFIED,
        what,
        code="cli.no_store",
        next_step="Give the node's --config, or its --storage-backend and --storage-path.",
    )


def _owner_of(store: "KeyValueStore") -> "Did | None":
    from icn.kernel.ids import Did
    from icn.stores.schema import owner_of

    text = owner_of(store)
    return None if text is None else Did.parse(text)


def _address(session: "Session") -> str:
    from icn.cli.settings import connection_of

    return str(connection_of(session.given, session.world.environ(), patience=HEALTH_SECONDS_MAX).address)
