"""A real PostgreSQL server for tests: one cluster per process of the test run, a database per store.

The server refuses to run as root, so root lends it an account without rights. Everything is in one folder, removed at
the end; `fsync` is on, because what is tested is durability.
"""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

ABSENT = "PostgreSQL's initdb is not installed (Debian package postgresql)"
PASSWORD = "s3cr3t-pa55"
ACCOUNTS = ("postgres", "nobody")
START_SECS_MAX = 60.0
STOP_SECS_MAX = 30.0
SETTINGS = {
    "fsync": "on",
    "max_connections": "300",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "autovacuum_naptime": "10s",
    "recovery_init_sync_method": "syncfs",  # after a kill it syncs all files once; one by one that takes seconds
}
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
HBA = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
hostssl all all 127.0.0.1/32 scram-sha-256
"""


def programs() -> Path | None:
    """Where initdb and postgres are, the newest first; None when there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True)
    on_path = shutil.which("initdb")
    places = [path.parent for path in found] + ([Path(on_path).resolve().parent] if on_path else [])
    return next((place for place in places if (place / "postgres").exists()), None)


class Cluster:
    """A server that was started, with its data."""

    def __init__(self) -> None:
        bin_folder = programs()
        if bin_folder is None:
            pytest.skip(ABSENT)
        self._programs = bin_folder
        self.folder = Path(tempfile.mkdtemp(prefix="icn-pg-"))  # short: the name of a Unix socket has at most 107 bytes
        self._account = _account()
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        try:
            if self._account is not None:
                os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
            self._make()
            self.start()
        except BaseException:
            self.end()
            raise

    @property
    def account(self) -> str | None:
        """Who runs it and owns its data, where that is not who runs the tests."""
        return None if self._account is None else self._account.pw_name

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _run_as(self) -> dict[str, int | list[int]]:
        account = self._account
        return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _make(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        subprocess.run(
            [
                *(str(self._programs / "initdb"), "--pgdata", str(self.data), "--no-sync", "--username", "postgres"),
                *("--pwfile", str(password), "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
            ],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._run_as(),  # type: ignore[call-overload] # user, group, extra_groups
        )
        self.configure(SETTINGS)
        (self.data / "pg_hba.conf").write_text(HBA)

    def enable_checksums(self) -> None:
        """Of all pages, from the next start on. While it is stopped."""
        subprocess.run(
            [str(self._programs / "pg_checksums"), "--enable", "--no-sync", "--pgdata", str(self.data)],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._run_as(),  # type: ignore[call-overload] # user, group, extra_groups
        )

    def configure(self, settings: dict[str, str]) -> None:
        """Add settings, for the next start."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def use_certificate(self, certificate: bytes, key: bytes) -> None:
        """TLS, from the next start on."""
        for name, data in (("server.crt", certificate), ("server.key", key)):
            path = self.data / name
            path.write_bytes(data)
            if self._account is not None:
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
            path.chmod(0o600)
        self.configure({"ssl": "on"})

    def start(self) -> None:
        """Start, and wait until it answers. It keeps its port."""
        until = time.monotonic() + START_SECS_MAX
        while True:
            port = self.port or _free_port()
            self._process = process = self._launch(port)
            while process.poll() is None:
                with contextlib.suppress(psycopg.OperationalError):
                    psycopg.connect(self._url("postgres", port)).close()
                    self.port = port
                    return
                if time.monotonic() > until:
                    break
                time.sleep(0.02)
            if time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-2000:]}")

    def start_while(self, goes_on: Callable[[], bool]) -> bool:
        """Start once, on the port it has. Whether it answers; not, if it ends or `goes_on` says no before."""
        self._process = process = self._launch(self.port)
        until = time.monotonic() + START_SECS_MAX
        while process.poll() is None and goes_on() and time.monotonic() < until:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self._url("postgres", self.port), connect_timeout=2).close()
                return True
            time.sleep(0.02)
        return False

    def start_within(self, seconds: float) -> bool:
        """Start once, on the port it has. Whether it answers by then; not, if it ends before."""
        until = time.monotonic() + seconds
        return self.start_while(lambda: time.monotonic() < until)

    def said(self) -> str:
        """The end of its log."""
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def start_and_kill(self, after_secs: float) -> None:
        """Start, and kill so long after, while it recovers or just has."""
        self._process = process = self._launch(self.port)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after_secs)
        self.kill()

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [
                    *(str(self._programs / "postgres"), "-D", str(self.data), "-p", str(port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"),
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - two system calls, no lock is taken
                **self._run_as(),  # type: ignore[call-overload] # user, group, extra_groups
            )
        return process

    def _url(self, database: str, port: int) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}&port={port}"

    def url(self, database: str) -> str:
        """A database through the Unix socket, without a password."""
        return self._url(database, self.port)

    def tcp_url(self, database: str, *, user: str = "postgres", password: str = PASSWORD, options: str = "") -> str:
        """A database through TCP, with a password."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}{options}"

    def new_database(self) -> str:
        """An empty database. Its name."""
        self._number += 1
        name = f"test_{os.getpid()}_{self._number}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def url_of_new_schema(self) -> str:
        """An empty place for a store, through the Unix socket."""
        self._number += 1
        name = f"test_{os.getpid()}_{self._number}"
        self.run(f"CREATE SCHEMA {name}")
        return f"{self.url('postgres')}&options=-csearch_path%3D{name}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """A statement, committed by itself, and its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """SIGKILL for the server and all of its processes, as if the machine had crashed but for its caches."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGSTOP)  # it starts no further ones
        children = _children(process.pid)
        for pid in (*children, process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        until = time.monotonic() + STOP_SECS_MAX
        while any(_is_alive(pid) for pid in children) and time.monotonic() < until:
            time.sleep(0.005)

    def stop(self) -> None:
        """End all sessions, write everything, stop."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def end(self) -> None:
        """Stop and remove. What is removed need not be written first, and nobody waits for thousands of files to go."""
        self.kill()
        subprocess.run(["sh", "-c", 'rm -rf -- "$1" &', "sh", str(self.folder)], check=True)


_shared: list[Cluster] = []  # at most one
_starting = threading.Lock()


def cluster() -> Cluster:
    """The cluster of this process, started when first asked for. Skips where there is no PostgreSQL."""
    with _starting:
        if not _shared:
            _shared.append(Cluster())
        return _shared[0]


def end_cluster() -> None:
    """At the end of the session."""
    while _shared:
        _shared.pop().end()


def connected(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection of the test's own, for a `with`; each statement is committed by itself."""
    return psycopg.connect(url, autocommit=True)


def url_in(folder: Path) -> str:
    """The place that belongs to a folder: made at first, the same afterwards and in other processes.

    A schema of its own, which takes a hundredth of the time of a database.
    """
    note = folder / "postgresql.url"
    if not note.exists():
        server = cluster()
        note.write_text(server.url_of_new_schema())
    return note.read_text()


@contextlib.contextmanager
def own_cluster() -> Iterator[Cluster]:
    """One that a test may kill."""
    made = Cluster()
    try:
        yield made
    finally:
        made.end()


def _end_with_parent() -> None:
    """A test run that is killed leaves no server behind."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def _account() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return pytest.skip(f"PostgreSQL does not run as root, and there is no account {' or '.join(ACCOUNTS)}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
    return found


def _is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
