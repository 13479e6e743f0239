"""Rules that concern several settings at once, and what is worth a warning (surface, "Safety at start").

Pure: settings and origins in, problems out. Not here: what a single value must look like (`schema`), and what can
only be found out by opening files and sockets.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from icn.config.schema import Backend, Settings
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
)


_OF_DATABASES = ("storage.connection_string", "storage.max_connections", "storage.connection_timeout")
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
    if settings.network.bootstrap_peers and not settings.network.p2p_enabled:
        found.append(
            f"network.bootstrap_peers ({origins['network.bootstrap_peers']}) has no effect, "
            f"because network.p2p_enabled is false ({origins['network.p2p_enabled']})"
        )
    if not settings.security.require_auth and not _is_development(settings):
        found.append(f"security.require_auth is false ({origins['security.require_auth']}) in production")
    if settings.monitoring.metrics_enabled and not is_loopback(settings.monitoring.metrics_bind_addr.host):
        found.append(
            f"metrics on {settings.monitoring.metrics_bind_addr} can be read from other machines without a key"
        )
    return found


def _is_development(settings: Settings) -> bool:
    return settings.runtime.environment == "development"
