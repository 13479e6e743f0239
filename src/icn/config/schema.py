"""Every setting of a node: its key, type, range, default and meaning. The one place all of these are written.

Every key has an effect, or it is not accepted (surface, "Configuration"). The catalogue, the flags, the environment
names and `docs/config.md` are derived from these classes; that of `[network]` is in a file of its own.

Not here: other spellings (`aliases`), sources and precedence (`load`), rules that concern several settings at once
(`check`).
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from icn.adapters.archive.age_keys import identity_key, recipient_key
from icn.config.database_url import DatabaseUrl
from icn.config.network import NetworkSettings
from icn.config.section import TIMEOUT_MS_MAX, Backend, Environment, Section, Setting, as_path, as_tuple, from_text
from icn.config.values import BUCKET_SCHEME, Bucket, HostPort, Secret
from icn.domain.federation.invitation import read_line
from icn.kernel.ids import Did
from icn.kernel.limits import JOBS_OPEN_MAX, MIB
from icn.kernel.mana import MANA_MAX

LogLevel = Literal["debug", "info", "warning", "error"]
ExecutorBackend = Literal["local", "ray"]
JoinPolicy = Literal["open", "invite", "vote"]
LogFormat = Literal["json", "text"]

FEDERATION_NAME_CHARS_MAX = 64
BACKUP_INTERVAL_SECS_MAX = 366 * 86_400
BACKUPS_MAX = 10_000
DATABASE_CONNECTIONS_MAX = 1000
JOBS_MEMORY_MIB_MAX = 2**24
RAY_WORKERS_MAX = 1024


def _backup_target(text: str) -> Path | Bucket:
    return Bucket.parse(text) if text.startswith(BUCKET_SCHEME) else as_path(text)


def _age_recipient(text: str) -> str:
    recipient_key(text)
    return text


def _age_identities(text: str) -> Secret:
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ValueError("holds no age identity")
    for key in keys:
        identity_key(key)
    return Secret(text)


def _http_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^/\s?#@]+(/[^\s?#]*)?", text):
        raise ValueError("should begin with https:// and a host, as in https://s3.example.org")
    return text.rstrip("/")


def _log_output(text: str) -> Path | None:
    return None if text == "stderr" else as_path(text)


def _invitation(text: str) -> Secret:
    read_line(text)
    return Secret(text)


def _secret(text: str) -> Secret:
    if not text.strip():
        raise ValueError("is empty")
    return Secret(text)


def _variable_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("should be the name of an environment variable")
    return text


def _federation_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", text) or len(text) > FEDERATION_NAME_CHARS_MAX:
        raise ValueError(
            f"should be at most {FEDERATION_NAME_CHARS_MAX} of a-z 0-9 . _ - and begin with a letter or digit"
        )
    return text


class RuntimeSettings(Section):
    """What kind of node this is and where its files are."""

    environment: Annotated[
        Environment, Setting("Development relaxes what `config check` insists on and shortens some defaults.")
    ] = "production"
    test_mode: Annotated[
        bool,
        Setting(
            "A node to try things with: in memory, without P2P, with a demonstration federation. "
            "Real cryptography, the same code. Changes defaults only: what you set yourself stays."
        ),
    ] = False
    log_level: Annotated[LogLevel, Setting("The least important messages that are logged.")] = "info"
    standby: Annotated[
        bool,
        Setting(
            "Wait while another process holds the store, not ready, and take over when it lets go.",
            default_with={"postgresql": True},
        ),
    ] = False
    data_dir: Annotated[Path, from_text(as_path), Setting("Where files go whose own path is not configured.")] = Path(
        "./icn_data"
    )


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


class IdentitySettings(Section):
    """The node's key (semantics §1)."""

    key_path: Annotated[Path, from_text(as_path), Setting("The key file.", in_data_dir="identity.key")]
    key_passphrase: Annotated[
        Secret | None,
        from_text(_secret),
        Setting(
            "Encrypts the key file. Better given by variable or file.", from_variable="identity.key_passphrase_env"
        ),
    ] = None
    key_passphrase_env: Annotated[
        str, from_text(_variable_name), Setting("The variable that holds the passphrase.")
    ] = "ICN_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
    generate_new_key: Annotated[bool, Setting("Create the key when the file does not exist.")] = True
    node_did: Annotated[
        Did | None, from_text(Did.parse), Setting("The DID this node must have; another key stops the start.")
    ] = None


class SecuritySettings(Section):
    """Who may use the API."""

    api_key: Annotated[
        Secret | None,
        from_text(_secret),
        Setting("The operator's key. Better given by variable or file.", from_variable="security.api_key_env"),
    ] = None
    api_key_env: Annotated[
        str, from_text(_variable_name), Setting("The variable that holds the operator's key.", must_be_set=True)
    ] = "ICN_API_KEY"
    require_auth: Annotated[bool, Setting("Whether requests must bear a key.")] = True


class MonitoringSettings(Section):
    """Metrics for Prometheus."""

    metrics_enabled: Annotated[bool, Setting("Serve metrics on a listener of their own.")] = True
    metrics_bind_addr: Annotated[HostPort, from_text(HostPort.parse), Setting("Where metrics are served.")] = HostPort(
        "127.0.0.1", 9090
    )


YEAR_SECS = 31_536_000


class PerformanceSettings(Section):
    """How much the node does."""

    max_concurrent_jobs: Annotated[
        int, Field(ge=0, le=1024), Setting("Jobs run at once; 0: this node executes none.")
    ] = 4
    jobs_memory_mib: Annotated[
        int,
        Field(ge=1, le=JOBS_MEMORY_MIB_MAX),
        Setting(
            "What the memory limits of all jobs under way may add up to. A bid reserves the job's limit beside its "
            "place; a job whose limit is higher than this gets no bid.",
            unit="MiB",
        ),
    ] = 4096
    min_free_memory_mib: Annotated[
        int,
        Field(ge=0, le=JOBS_MEMORY_MIB_MAX),
        Setting("With less memory available on this machine the node takes no jobs; 0: it does.", unit="MiB"),
    ] = 256
    min_free_disk_mib: Annotated[
        int,
        Field(ge=0, le=JOBS_MEMORY_MIB_MAX),
        Setting("With less disk space free beside the store the node takes no jobs; 0: it does.", unit="MiB"),
    ] = 512
    mana_regeneration_rate: Annotated[
        int,
        Field(ge=0, le=MANA_MAX),
        Setting(
            "Mana per hour that an account regains. Used when founding a federation (semantics §4).", unit="per hour"
        ),
    ] = 10
    gc_interval: Annotated[
        int,
        Field(ge=0, le=YEAR_SECS),
        Setting("Content that nobody needs is removed this often; 0: only by `dag prune`.", unit="s"),
    ] = 3600


class MeshSettings(Section):
    """Jobs (semantics §5)."""

    job_retry_count: Annotated[int, Field(ge=1, le=100), Setting("Most attempts at a job.")] = 5
    blacklist_after_failures: Annotated[
        int,
        Field(ge=1, le=1000),
        Setting("So many failures in a row in this node's jobs put an executor on its blacklist."),
    ] = 3
    blacklist_cooldown_secs: Annotated[
        int,
        Field(ge=1, le=YEAR_SECS),
        Setting("An executor on the blacklist gets no job for this long, and then one for a trial.", unit="s"),
    ] = 600
    submissions_per_minute: Annotated[
        int,
        Field(ge=1, le=10_000_000),
        Setting("Jobs that one principal may submit to this node in a minute; a tenth of them, or ten, at once."),
    ] = 36_000
    open_jobs_per_principal: Annotated[
        int,
        Field(ge=1, le=JOBS_OPEN_MAX),
        Setting("Jobs of one principal that may be open at this node."),
    ] = 5_000
    bid_window_ms: Annotated[
        int,
        Field(ge=10, le=TIMEOUT_MS_MAX),
        Setting("How long bids are awaited.", unit="ms", default_in={"development": 1000, "production": 5000}),
    ]
    recheck: Annotated[
        Literal["never", "sample", "always"],
        Setting(
            "Which of its own jobs this node runs itself before it pays for them. A result that it does not confirm is "
            "not paid, is disputed with both receipts, and the job is tried again. `sample` takes `recheck_percent` of "
            "them, drawn so that nobody else can tell which."
        ),
    ] = "never"
    recheck_percent: Annotated[
        int, Field(ge=1, le=99), Setting('The share that `recheck = "sample"` takes.', unit="percent")
    ] = 10
    home_absence_secs: Annotated[
        int,
        Field(ge=10, le=YEAR_SECS),
        Setting("What runs here for a node that is gone for this long is stopped: nobody may pay for it.", unit="s"),
    ] = 300
    unsettled_receipts_max: Annotated[
        int,
        Field(ge=0, le=1000),
        Setting("A home that owes this node more receipts than this gets no bids until it settles; 0: it does."),
    ] = 10
    unsettled_after_secs: Annotated[
        int,
        Field(ge=0, le=YEAR_SECS),
        Setting(
            "A receipt is owed when its home has not recorded it for this long after the attempt's deadline.", unit="s"
        ),
    ] = 3600
    price_per_million_fuel: Annotated[
        int, Field(ge=0, le=MANA_MAX), Setting("Mana that this node asks for a million units of fuel.", unit="mana")
    ] = 1
    price_per_gib_memory: Annotated[
        int, Field(ge=0, le=MANA_MAX), Setting("Mana for each GiB of a job's memory limit.", unit="mana")
    ] = 0
    price_per_gib_transferred: Annotated[
        int,
        Field(ge=0, le=MANA_MAX),
        Setting(
            "Mana for each GiB that may have to be sent for a job: its inline input, its limit of output, and 8 MiB "
            "for a module or input named by CID. All parts are added exactly, and the sum is rounded up.",
            unit="mana",
        ),
    ] = 0
    price_minimum: Annotated[
        int, Field(ge=0, le=MANA_MAX), Setting("The least mana this node asks for a job.", unit="mana")
    ] = 1


class ExecutorSettings(Section):
    """How this node runs jobs (docs/sandbox.md), and on which machines (docs/operating/cluster.md)."""

    backend: Annotated[
        ExecutorBackend,
        Setting(
            "Where jobs run: `local` on this machine, `ray` on every machine of a Ray cluster that this one belongs to "
            "(`pip install 'icn[ray]'`)."
        ),
    ] = "local"
    ray_address: Annotated[
        HostPort | None, from_text(HostPort.parse), Setting("Of the cluster's head: `host:port`.")
    ] = None
    ray_token: Annotated[
        Secret | None,
        from_text(_secret),
        Setting("The cluster's token. Better given by variable or file.", from_variable="executor.ray_token_env"),
    ] = None
    ray_token_env: Annotated[str, from_text(_variable_name), Setting("The variable that holds the token.")] = (
        "ICN_EXECUTOR_RAY_TOKEN"  # noqa: S105 - the name of a variable
    )
    ray_tls_cert_path: Annotated[
        Path | None, from_text(as_path), Setting("PEM certificate by which this machine proves itself to the cluster.")
    ] = None
    ray_tls_key_path: Annotated[Path | None, from_text(as_path), Setting("Its PEM key.")] = None
    ray_tls_ca_path: Annotated[
        Path | None, from_text(as_path), Setting("PEM certificate of who signed those of all machines.")
    ] = None
    ray_workers_per_machine: Annotated[
        int,
        Field(ge=0, le=RAY_WORKERS_MAX),
        Setting("Jobs at once on each machine; 0: one for each of its processors that has 1 GiB of memory."),
    ] = 0
    ray_cache_path: Annotated[
        Path | None,
        from_text(as_path),
        Setting(
            "The folder for compiled modules on each machine; by default `.cache/icn/modules` in the home folder of "
            "the account that Ray runs under there."
        ),
    ] = None
    isolation: Annotated[
        Literal["limits", "seccomp", "full"],
        Setting(
            "The least that a worker must be sealed with. Where the system gives less the node does not start. `full` "
            "adds an empty root, no network and no rights to `seccomp`, which leaves only needed system calls to "
            "`limits`, which every Linux has."
        ),
    ] = "seccomp"
    compile_ms: Annotated[
        int,
        Field(ge=1000, le=TIMEOUT_MS_MAX),
        Setting("For a module to be compiled, once for all its jobs.", key="compile_secs", scale=1000, unit="ms"),
    ] = 120_000
    jobs_per_worker: Annotated[
        int, Field(ge=1, le=1_000_000), Setting("A worker process is replaced after as many.")
    ] = 1000
    worker_memory_bytes: Annotated[
        int,
        Field(ge=64 * MIB, le=65_536 * MIB),
        Setting(
            "A worker process that holds more, beside its last job's memory, is replaced.",
            key="worker_memory_mib",
            scale=MIB,
            unit="bytes",
        ),
    ] = 512 * MIB


class FederationSettings(Section):
    """The federation that this node founds when it joins none (semantics §3); recorded in its genesis."""

    name: Annotated[str, from_text(_federation_name), Setting("Its name.")] = "icn"
    join_policy: Annotated[
        JoinPolicy,
        Setting(
            "How nodes join: `open` lets anybody in who knows an address; with `invite` a newcomer has an invitation, "
            "or one member admits it; with `vote` more than half of the members vote for it.",
            default_in={"development": "open", "production": "invite"},
        ),
    ]
    initial_grant: Annotated[
        int, Field(ge=0, le=MANA_MAX), Setting("Mana that a new account begins with.", unit="mana")
    ] = 1000
    mana_cap: Annotated[int, Field(ge=0, le=MANA_MAX), Setting("Regeneration ends at this balance.", unit="mana")] = (
        10_000
    )
    founders: Annotated[
        tuple[Annotated[Did, from_text(Did.parse)], ...],
        BeforeValidator(as_tuple),
        Setting("DIDs that are members from the start, beside this node."),
    ] = ()

    invitation: Annotated[
        Secret | None,
        from_text(_invitation),
        Setting(
            "The line of an invitation. A node that is in no federation yet joins by it, and dials the addresses in "
            "it. Better given by variable or file: whoever has it can join in this node's place."
        ),
    ] = None


class BackupSettings(Section):
    """Backups that the node makes by itself, and proves (docs/operating/scheduled-backups.md)."""

    enabled: Annotated[bool, Setting("Make backups by schedule.")] = False
    target: Annotated[
        Path | Bucket | None,
        from_text(_backup_target),
        Setting(
            "Where archives go: a folder on another disk, which is made where the one above it exists, or "
            "`s3://bucket/prefix`."
        ),
    ] = None
    interval_secs: Annotated[
        int,
        Field(ge=1, le=BACKUP_INTERVAL_SECS_MAX),
        Setting("From one backup that succeeded to the next. What was missed is made up for once.", unit="s"),
    ] = 86_400
    full_every: Annotated[
        int,
        Field(ge=1, le=BACKUPS_MAX),
        Setting("Each so-manieth backup is full; those between hold what has changed. 1: all are full."),
    ] = 7
    keep_last: Annotated[
        int,
        Field(ge=1, le=BACKUPS_MAX),
        Setting("The newest backups that are kept, however old; with what they go on from."),
    ] = 7
    keep_days: Annotated[
        int,
        Field(ge=0, le=36_500),
        Setting("Backups younger than this are kept, however many; with what they go on from.", unit="days"),
    ] = 30
    drill_interval_secs: Annotated[
        int,
        Field(ge=0, le=BACKUP_INTERVAL_SECS_MAX),
        Setting(
            "From one restore drill that succeeded to the next: the newest backup is fetched, restored aside and "
            "verified. 0: none by schedule.",
            unit="s",
        ),
    ] = 604_800
    encrypt_to: Annotated[
        tuple[Annotated[str, from_text(_age_recipient)], ...],
        BeforeValidator(as_tuple),
        Setting("Encrypt archives for these age recipients (`age1…`)."),
    ] = ()
    age_identity: Annotated[
        Secret | None,
        from_text(_age_identities),
        Setting("The `AGE-SECRET-KEY-1…` with which drills open what `encrypt_to` closed; best one made for drills."),
    ] = None
    passphrase: Annotated[
        Secret | None,
        from_text(_secret),
        Setting("Encrypt archives with a passphrase instead.", from_variable="backup.passphrase_env"),
    ] = None
    passphrase_env: Annotated[str, from_text(_variable_name), Setting("The variable that holds the passphrase.")] = (
        "ICN_BACKUP_PASSPHRASE"  # noqa: S105 - the name of a variable
    )
    s3_endpoint: Annotated[
        str | None,
        from_text(_http_url),
        Setting("The URL of an S3 service other than Amazon's."),
    ] = None
    s3_region: Annotated[str | None, Setting("The bucket's region; else `AWS_REGION`, else us-east-1.")] = None
    s3_access_key_id: Annotated[
        Secret | None,
        from_text(_secret),
        Setting("Without it credentials are found as AWS's own tools find them: `AWS_ACCESS_KEY_ID` and so on."),
    ] = None
    s3_secret_access_key: Annotated[Secret | None, from_text(_secret), Setting("The secret of that key.")] = None
    s3_path_style: Annotated[bool, Setting("The bucket stands in the path of a URL; false: in the host name.")] = True
    s3_ca_path: Annotated[
        Path | None,
        from_text(as_path),
        Setting("PEM certificates to trust besides the system's, for a private service."),
    ] = None


class LoggingSettings(Section):
    """What the log looks like and where it goes; its level is `runtime.log_level`."""

    format: Annotated[LogFormat, Setting("One JSON object per line, or text for people.")] = "json"
    output: Annotated[Path | None, from_text(_log_output), Setting("`stderr`, or the path of a file.")] = None


class Settings(Section):
    """The whole configuration, complete and valid."""

    runtime: RuntimeSettings
    network: NetworkSettings
    storage: StorageSettings
    identity: IdentitySettings
    security: SecuritySettings
    monitoring: MonitoringSettings
    performance: PerformanceSettings
    mesh: MeshSettings
    executor: ExecutorSettings
    federation: FederationSettings
    backup: BackupSettings
    logging: LoggingSettings
