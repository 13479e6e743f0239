"""The sections `[performance]`, `[mesh]` and `[executor]`: how much a node takes on, on which terms, what runs jobs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from icn.config.section import TIMEOUT_MS_MAX, Section, Setting, as_path, as_secret, as_variable_name, from_text
from icn.config.values import HostPort, Secret
from icn.kernel.limits import JOB_ATTEMPTS_MAX, JOBS_OPEN_MAX, MIB
from icn.kernel.mana import MANA_MAX

ExecutorBackend = Literal["local", "ray"]

JOBS_MEMORY_MIB_MAX = 2**24
RAY_WORKERS_MAX = 1024
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

    job_retry_count: Annotated[int, Field(ge=1, le=JOB_ATTEMPTS_MAX), Setting("Most attempts at a job.")] = 5
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
        from_text(as_secret),
        Setting("The cluster's token. Better given by variable or file.", from_variable="executor.ray_token_env"),
    ] = None
    ray_token_env: Annotated[str, from_text(as_variable_name), Setting("The variable that holds the token.")] = (
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
