"""The section `[storage]`: what keeps the DAG, where, and how often it is read through.

Not here: what the adapters are told of it (`storage`); copies elsewhere (`backup`).
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from icn.config.database_url import DatabaseUrl
from icn.config.section import TIMEOUT_MS_MAX, Backend, Section, Setting, as_path, from_text

DATABASE_CONNECTIONS_MAX = 1000


class StorageSettings(Section):
    """Where the DAG is kept."""

    backend: Annotated[
        Backend,
        Setting(
            "What keeps the data. `sled` is kept by LMDB: the name is that of the deployment guide, the files are not "
            "those of the Rust library.",
            synonyms={"lmdb": "sled", "postgres": "postgresql"},
        ),
    ] = "sqlite"
    path: Annotated[
        Path | None,
        from_text(as_path),
        Setting(
            "The database's file (`sqlite`) or directory (`sled`, `rocksdb`). A URL here is the connection string.",
            in_data_dir_with={"sqlite": "dag.sqlite", "sled": "dag.sled", "rocksdb": "dag.rocksdb"},
        ),
    ]
    head_marker_path: Annotated[
        Path | None,
        from_text(as_path),
        Setting(
            "A small file outside of `runtime.data_dir` by which the node notices that an old copy of its data was put "
            "back. By default it stands beside `runtime.data_dir`, with `.head` after its name."
        ),
    ] = None
    mana_ledger_path: Annotated[
        Path | None,
        from_text(as_path),
        Setting(
            "A JSON file that receives a copy of the ledger, for people and other programs: at the start, every five "
            "minutes and at a stop. The node never reads balances from it. Another node must not have the same."
        ),
    ] = None
    scrub_interval: Annotated[
        int,
        Field(ge=0, le=366 * 86_400),
        Setting("The whole store is read and checked this often, beside everything else; 0: never.", unit="s"),
    ] = 604_800
    scrub_bytes_per_second: Annotated[
        int, Field(ge=65_536, le=2**40), Setting("How fast it is read, at most.", unit="bytes/s")
    ] = 16_777_216
    connection_string: Annotated[
        DatabaseUrl | None,
        from_text(DatabaseUrl.parse),
        Setting(
            "How `postgresql` is reached: `postgresql://user:password@host:port/name`. What `${NAME}` puts before the "
            "`@` is percent-encoded, so that a password may hold any character."
        ),
    ] = None
    max_connections: Annotated[
        int, Field(ge=4, le=DATABASE_CONNECTIONS_MAX), Setting("Most connections to `postgresql` that the node keeps.")
    ] = 20
    connection_timeout_ms: Annotated[
        int,
        Field(ge=1, le=TIMEOUT_MS_MAX),
        Setting(
            "Seconds until an attempt to connect to `postgresql` is given up.",
            key="connection_timeout",
            scale=1000,
            unit="ms",
        ),
    ] = 10_000

    @property
    def place(self) -> str | None:
        """Where the data is, to be shown: a path, or a URL without its password; None in memory."""
        match self.backend:
            case "memory":
                return None
            case "postgresql":
                return str(self.connection_string)
            case "sqlite" | "sled" | "rocksdb":
                return str(self.path)
