"""Rules that concern several settings at once, and what is worth a warning (surface, "Safety at start").

Pure: settings and origins in, problems out. Not here: what a single value must look like (`schema`), and what can
only be found out by opening files and sockets.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from icn.config.schema import Settings
from icn.config.section import Backend
from icn.config.sources import Origin, Problem
from icn.config.values import HostPort, is_loopback

Origins = Mapping[str, Origin]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, and the settings it reads: when one of them is wrong already, the rule has nothing to add."""

    reads: tuple[str, ...]
    judge: Callable[[Settings, Origins], Iterator[Problem]]


def problems_in(
    settings: Settings, origins: Origins, doubtful: Collection[str], sections: Collection[str]
) -> list[Problem]:
    """Everything that the rules about these sections forbid."""
    return [
        problem
        for rule in RULES
        if not any(key in doubtful for key in rule.reads)
        and all(key.partition(".")[0] in sections for key in rule.reads)
        for problem in rule.judge(settings, origins)
    ]


def _test_mode_is_no_production(settings: Settings, origins: Origins) -> Iterator[Problem]:
    if settings.runtime.test_mode and settings.runtime.environment == "production":
        yield Problem(
            origins["runtime.environment"].where,
            "runtime.environment is production and runtime.test_mode is on; a production node has real members",
            (str(origins["runtime.test_mode"]),),
        )


def _place_fits_backend(settings: Settings, origins: Origins) -> Iterator[Problem]:
    """A path or URL beside a backend that has none is a mistake.

    Unless a higher layer has replaced the backend it was given for: then it is a warning.
    """
    backend, chosen = settings.storage.backend, origins["storage.backend"]
    path, url = origins["storage.path"], origins["storage.connection_string"]
    if backend == "postgresql":
        if settings.storage.connection_string is None:
            yield Problem(
                chosen.where,
                "storage.backend is postgresql, and no database is given: add --db-url postgresql://user@host/name, "
                "ICN_STORAGE_CONNECTION_STRING or [storage] connection_string",
            )
        if path.explicit and path.layer >= chosen.layer:
            yield Problem(
                path.where,
                "storage.path is a path, and storage.backend is postgresql, which has a URL: remove the path, or "
                "choose the backend it belongs to",
                (str(chosen),),
            )
    elif url.explicit and url.layer >= chosen.layer:
        yield Problem(
            url.where,
            f"a database's URL is given, and storage.backend is {backend}, which has none: set storage.backend = "
            "postgresql, or remove the URL",
            (str(chosen),),
        )


def _open_api_needs_a_key(settings: Settings, origins: Origins) -> Iterator[Problem]:
    address, security = settings.network.http_listen_addr, settings.security
    if address.is_loopback or (security.require_auth and security.api_key is not None):
        return
    key = "security.require_auth"
    open_on_purpose = not security.require_auth and origins[key].explicit
    if open_on_purpose and settings.runtime.environment == "development":
        return
    where = origins["network.http_listen_addr"].where
    if security.api_key is None:
        what = "no API key is configured; give one by ICN_API_KEY_FILE, ICN_API_KEY or security.api_key_file"
    else:
        what = f"{key} is false ({origins[key]}); only an explicit {key} = false in development allows that"
    yield Problem(where, f"network.http_listen_addr = {address} can be reached from other machines, but {what}")


def _first_wait_is_not_the_longest(settings: Settings, origins: Origins) -> Iterator[Problem]:
    first, longest = settings.network.retry_initial_delay_ms, settings.network.retry_max_delay_ms
    if first > longest:
        yield Problem(
            origins["network.retry_initial_delay_ms"].where,
            f"network.retry_initial_delay_ms = {first} is longer than network.retry_max_delay_ms = {longest}, the "
            "longest wait there is: lower the one or raise the other",
            (str(origins["network.retry_max_delay_ms"]),),
        )


def _low_water_is_below_high(settings: Settings, origins: Origins) -> Iterator[Problem]:
    """A default that does not fit is lowered instead (`assemble.network`)."""
    low, high = settings.network.min_peers, settings.network.max_peers
    if low > high and origins["network.min_peers"].explicit:
        yield Problem(
            origins["network.min_peers"].where,
            f"network.min_peers = {low} is more than network.max_peers = {high}: lower the one or raise the other",
            (str(origins["network.max_peers"]),),
        )


def _listeners_do_not_collide(settings: Settings, origins: Origins) -> Iterator[Problem]:
    """Ports the system chooses never collide, and different addresses share a port unless one is every address."""
    network, monitoring = settings.network, settings.monitoring
    listeners = [("network.http_listen_addr", network.http_listen_addr)]
    if network.p2p_enabled:
        p2p = network.p2p_listen_addr
        listeners.append(("network.p2p_listen_addr", HostPort(p2p.host, p2p.port)))
    if monitoring.metrics_enabled:
        listeners.append(("monitoring.metrics_bind_addr", monitoring.metrics_bind_addr))
    for position, (key, address) in enumerate(listeners):
        for earlier_key, earlier in listeners[:position]:
            if address.port and address.port == earlier.port and _overlap(address.host, earlier.host):
                yield Problem(
                    origins[key].where,
                    f"{key} takes the port {address.port} that {earlier_key} has",
                    (str(origins[earlier_key]),),
                )


def _backups_have_a_place(settings: Settings, origins: Origins) -> Iterator[Problem]:
    if settings.backup.enabled and settings.backup.target is None:
        yield Problem(
            origins["backup.enabled"].where,
            "backup.enabled is true, and backup.target is not set: name a folder on another disk, or s3://bucket/prefix",
        )


def _backups_are_encrypted_in_one_way(settings: Settings, origins: Origins) -> Iterator[Problem]:
    backup = settings.backup
    if backup.encrypt_to and backup.passphrase is not None:
        yield Problem(
            origins["backup.encrypt_to"].where,
            "backup.encrypt_to and backup.passphrase are both set; an age archive has recipients or a passphrase: "
            "remove one of them",
            (str(origins["backup.passphrase"]),),
        )


def _drills_can_open_archives(settings: Settings, origins: Origins) -> Iterator[Problem]:
    backup = settings.backup
    if backup.enabled and backup.encrypt_to and backup.drill_interval_secs and backup.age_identity is None:
        yield Problem(
            origins["backup.encrypt_to"].where,
            "backup.encrypt_to is set and backup.age_identity is not, so that a restore drill could not open an "
            "archive: give an identity made for drills by backup.age_identity_file and add its recipient to "
            "backup.encrypt_to, or set backup.drill_interval_secs = 0 and drill elsewhere",
            (str(origins["backup.drill_interval_secs"]),),
        )


def _s3_credentials_are_whole(settings: Settings, origins: Origins) -> Iterator[Problem]:
    pair = ("backup.s3_access_key_id", "backup.s3_secret_access_key")
    given = [settings.backup.s3_access_key_id is not None, settings.backup.s3_secret_access_key is not None]
    if any(given) and not all(given):
        has, lacks = pair if given[0] else pair[::-1]
        yield Problem(origins[has].where, f"{has} is set and {lacks} is not: a key and its secret belong together")


def _archives_travel_encrypted(settings: Settings, origins: Origins) -> Iterator[Problem]:
    backup = settings.backup
    endpoint = backup.s3_endpoint or ""
    if not endpoint.startswith("http://") or is_loopback(_host_of(endpoint)) or _is_development(settings):
        return
    if not backup.encrypt_to and backup.passphrase is None:
        yield Problem(
            origins["backup.s3_endpoint"].where,
            f"backup.s3_endpoint = {endpoint} would carry archives, with all that members have, in the open: use "
            "https://, or encrypt them with backup.encrypt_to or backup.passphrase",
        )


def _cluster_is_secured(settings: Settings, origins: Origins) -> Iterator[Problem]:
    """Who can talk to a cluster can run anything on its machines, so token and TLS are no choice (docs/operating)."""
    chosen, key = settings.executor, "executor.backend"
    files = {
        "executor.ray_tls_cert_path": chosen.ray_tls_cert_path,
        "executor.ray_tls_key_path": chosen.ray_tls_key_path,
        "executor.ray_tls_ca_path": chosen.ray_tls_ca_path,
    }
    lacking = [name for name, path in files.items() if path is None]
    given = [name for name in files if name not in lacking]
    if given and lacking:
        yield Problem(
            origins[given[0]].where,
            f"{given[0]} is set and {lacking[0]} is not: certificate, key and authority belong together",
        )
    if chosen.backend != "ray":
        return
    if chosen.ray_address is None:
        yield Problem(
            origins[key].where,
            f"{key} is ray, and executor.ray_address is not set: name the cluster's head as host:port",
        )
        return
    if chosen.ray_address.is_loopback and _is_development(settings):
        return
    if chosen.ray_token is None:
        yield Problem(
            origins[key].where,
            f"{key} is ray, and no token is configured; give the cluster's by {chosen.ray_token_env}, "
            "executor.ray_token_file or executor.ray_token",
        )
    if not given:
        yield Problem(
            origins[key].where,
            f"{key} is ray, and executor.ray_tls_cert_path, ray_tls_key_path and ray_tls_ca_path are not set: without "
            "TLS the token, and all that jobs work on, would travel in the open",
        )


def _host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def _overlap(one: str, other: str) -> bool:
    return one == other or one in _EVERY_ADDRESS or other in _EVERY_ADDRESS


RULES = (
    Rule(("runtime.environment", "runtime.test_mode"), _test_mode_is_no_production),
    Rule(("storage.backend", "storage.path", "storage.connection_string"), _place_fits_backend),
    Rule(
        ("network.http_listen_addr", "security.api_key", "security.require_auth", "runtime.environment"),
        _open_api_needs_a_key,
    ),
    Rule(
        ("network.http_listen_addr", "network.p2p_listen_addr", "monitoring.metrics_bind_addr"),
        _listeners_do_not_collide,
    ),
    Rule(("network.retry_initial_delay_ms", "network.retry_max_delay_ms"), _first_wait_is_not_the_longest),
    Rule(
        (
            *(f"executor.{name}" for name in ("backend", "ray_address", "ray_token")),
            *(f"executor.ray_tls_{name}_path" for name in ("cert", "key", "ca")),
            "runtime.environment",
        ),
        _cluster_is_secured,
    ),
    Rule(("network.min_peers", "network.max_peers"), _low_water_is_below_high),
    Rule(("backup.enabled", "backup.target"), _backups_have_a_place),
    Rule(("backup.encrypt_to", "backup.passphrase"), _backups_are_encrypted_in_one_way),
    Rule(
        ("backup.enabled", "backup.encrypt_to", "backup.age_identity", "backup.drill_interval_secs"),
        _drills_can_open_archives,
    ),
    Rule(("backup.s3_access_key_id", "backup.s3_secret_access_key"), _s3_credentials_are_whole),
    Rule(
        ("backup.s3_endpoint", "backup.encrypt_to", "backup.passphrase", "runtime.environment"),
        _archives_travel_encrypted,
    ),
)


_OF_BUCKETS = tuple(
    f"backup.s3_{name}"
    for name in ("endpoint", "region", "access_key_id", "secret_access_key", "path_style", "ca_path")
)
_OF_DATABASES = ("storage.connection_string", "storage.max_connections", "storage.connection_timeout")
_OF_CLUSTERS = tuple(
    f"executor.ray_{name}"
    for name in (
        "address",
        "token",
        "tls_cert_path",
        "tls_key_path",
        "tls_ca_path",
        "workers_per_machine",
        "cache_path",
    )
)
_WITHOUT_EFFECT: Mapping[Backend, tuple[str, ...]] = {
    "sqlite": _OF_DATABASES,
    "sled": _OF_DATABASES,
    "rocksdb": _OF_DATABASES,
    "postgresql": ("storage.path",),
    "memory": ("storage.path", *_OF_DATABASES),
}


def warnings_in(settings: Settings, origins: Origins) -> list[str]:
    """What is allowed, and perhaps not meant."""
    found: list[str] = []
    if settings.storage.backend == "memory" and not settings.runtime.test_mode:
        found.append(f"storage.backend is memory ({origins['storage.backend']}): everything is lost at the end")
    found += [
        f"{key} ({origins[key]}) has no effect, "
        f"because storage.backend is {settings.storage.backend} ({origins['storage.backend']})"
        for key in _WITHOUT_EFFECT[settings.storage.backend]
        if origins[key].explicit
    ]
    if settings.executor.backend != "ray":
        found += [
            f"{key} ({origins[key]}) has no effect, because executor.backend is {settings.executor.backend} "
            f"({origins['executor.backend']})"
            for key in _OF_CLUSTERS
            if origins[key].explicit
        ]
    if settings.network.bootstrap_peers and not settings.network.p2p_enabled:
        found.append(
            f"network.bootstrap_peers ({origins['network.bootstrap_peers']}) has no effect, "
            f"because network.p2p_enabled is false ({origins['network.p2p_enabled']})"
        )
    if settings.federation.invitation is not None and not settings.network.p2p_enabled:
        found.append(
            f"federation.invitation ({origins['federation.invitation']}) has no effect, "
            f"because network.p2p_enabled is false ({origins['network.p2p_enabled']})"
        )
    if not settings.security.require_auth and not _is_development(settings):
        found.append(f"security.require_auth is false ({origins['security.require_auth']}) in production")
    if settings.monitoring.metrics_enabled and not is_loopback(settings.monitoring.metrics_bind_addr.host):
        found.append(
            f"metrics on {settings.monitoring.metrics_bind_addr} can be read from other machines without a key"
        )
    return [*found, *_backup_warnings(settings, origins)]


def _backup_warnings(settings: Settings, origins: Origins) -> list[str]:
    backup = settings.backup
    if backup.target is not None and not backup.enabled:
        return [f"backup.target ({origins['backup.target']}) is set, and backup.enabled is not: no backups are made"]
    if not isinstance(backup.target, Path):
        return []
    found = [
        f"{key} ({origins[key]}) has no effect, because backup.target ({origins['backup.target']}) is a folder"
        for key in _OF_BUCKETS
        if origins[key].explicit
    ]
    if backup.target.absolute().is_relative_to(settings.runtime.data_dir.absolute()):
        found.append(
            f"backup.target ({origins['backup.target']}) is in runtime.data_dir: what destroys the one destroys both"
        )
    return found


def _is_development(settings: Settings) -> bool:
    return settings.runtime.environment == "development"
