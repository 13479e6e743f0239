"""Ports in, running parts out: plain constructor calls, read top to bottom. Used by the programs and the simulator.

Nothing starts here: no thread, no socket, no process but the sandbox's workers, which come with their pool.
"""

import hashlib
import importlib.util
from pathlib import Path

from icn import __version__
from icn.adapters.archive.age import identities_in
from icn.adapters.archive.settings import Encryption, Keys
from icn.adapters.backup.opening import open_target
from icn.adapters.backup.ports import BackupTarget
from icn.adapters.backup.settings import S3Settings
from icn.adapters.cluster.pool import ClusterPool
from icn.adapters.cluster.settings import ClusterSettings, TlsFiles
from icn.adapters.entropy import SystemEntropy
from icn.adapters.head_marker import FILE_NAME, HeadMarkFiles
from icn.adapters.keys.file import CREATING_BYTES, KeyFileMissing, create_key, load_key
from icn.adapters.network.settings import DialSettings, DiscoveryMode, DiscoverySettings, NetworkSettings
from icn.adapters.network.tcp import Libp2pNetwork
from icn.adapters.wasm.cache import KEY_BYTES, ModuleCache
from icn.adapters.wasm.pool import WorkerPool
from icn.adapters.wasm.ports import Executor
from icn.adapters.wasm.profile import profile
from icn.adapters.wasm.settings import Isolation, SandboxSettings
from icn.config.loaded import LoadedConfig
from icn.config.schema import Settings
from icn.config.values import Bucket
from icn.domain.federation.invitation import open_invitation, read_line
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.kernel.errors import ConfigError
from icn.kernel.instant import Duration, seconds
from icn.kernel.limits import GRANTS_PER_NODE_MAX, MIB
from icn.kernel.mana import mana
from icn.kernel.signing import SEED_BYTES, SeedSigner, Signer
from icn.protocol.backoff import RetrySettings
from icn.protocol.breaker import BreakerSettings
from icn.protocol.codec import PROTOCOL_MESSAGE_BYTES_MAX
from icn.services import opening
from icn.services.commands import Found
from icn.services.engine import Engine
from icn.services.ports import Clock, Entropy, HeadMarker
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms
from icn.stores.joining import Aim
from icn.stores.kv import KeyValueStore

AGENT = f"icn/{__version__}"


def open_signer(loaded: LoadedConfig) -> Signer:
    """The node's identity: loaded, or made where the configuration says so (semantics §1).

    A node in memory gets a key in memory, unless the operator named a key file: with a key that outlives its feed it
    would begin that feed again, and look dishonest.

    Raises:
        ConfigError: the key is missing and may not be made, or is not the one `node_did` names.
        Fault: the key file cannot be used.
    """
    settings = loaded.settings
    identity, entropy = settings.identity, SystemEntropy()
    signer: Signer
    if settings.storage.backend == "memory" and not loaded.origins["identity.key_path"].explicit:
        signer = SeedSigner(entropy.bytes(SEED_BYTES))
    else:
        passphrase = identity.key_passphrase.reveal() if identity.key_passphrase else None
        exposed_ok = settings.runtime.environment == "development"
        try:
            signer = load_key(identity.key_path, passphrase=passphrase, may_be_exposed=exposed_ok)
        except KeyFileMissing as error:
            if not identity.generate_new_key:
                raise ConfigError(
                    f"there is no key at {identity.key_path} and generate_new_key = false: put the key there, or allow "
                    "one to be made"
                ) from error
            signer = create_key(identity.key_path, entropy.bytes(CREATING_BYTES), passphrase=passphrase)
    if identity.node_did is not None and identity.node_did != signer.did:
        raise ConfigError(
            f"node_did is {identity.node_did}, the key at {identity.key_path} is {signer.did}: use the key that "
            "belongs to the DID, or remove node_did"
        )
    return signer


def rates(settings: Settings) -> Rates:
    """What this node asks for jobs."""
    mesh = settings.mesh
    return Rates(
        mesh.price_minimum, mesh.price_per_million_fuel, mesh.price_per_gib_memory, mesh.price_per_gib_transferred
    )


def node_terms(settings: Settings) -> NodeTerms:
    """How the node runs its side of the federation."""
    mesh, invited = settings.mesh, _invited(settings)
    return NodeTerms(
        agent=AGENT,
        mesh=MeshTerms(
            bid_window=Duration(mesh.bid_window_ms),
            attempts_max=mesh.job_retry_count,
            ban_after=mesh.blacklist_after_failures,
            ban_for=seconds(mesh.blacklist_cooldown_secs),
            submissions_per_minute=mesh.submissions_per_minute,
            open_per_payer=mesh.open_jobs_per_principal,
        ),
        executor=ExecutorTerms(
            capacity=settings.performance.max_concurrent_jobs,
            rates=rates(settings),
            memory_bytes=settings.performance.jobs_memory_mib * MIB,
            unsettled_max=mesh.unsettled_receipts_max,
            unsettled_after=seconds(mesh.unsettled_after_secs),
        ),
        replication=ReplicationTerms(),
        joins=settings.network.p2p_enabled and (invited is not None or bool(settings.network.bootstrap_peers)),
        invited=invited,
        prune_every=seconds(settings.performance.gc_interval) if settings.performance.gc_interval else None,
        home_absence=seconds(mesh.home_absence_secs),
        recheck_percent={"never": 0, "sample": mesh.recheck_percent, "always": 100}[mesh.recheck],
    )


def _invited(settings: Settings) -> Aim | None:
    """What the configuration invites this node to."""
    line = settings.federation.invitation
    if line is None:
        return None
    data = read_line(line.reveal())
    return Aim(open_invitation(data).addresses, data)


def founding(settings: Settings, signer: Signer) -> Found:
    """The federation this node founds when it joins none."""
    federation = settings.federation
    policy = Policy(
        join_policy=JoinPolicy(federation.join_policy),
        initial_grant=mana(federation.initial_grant),
        mana_cap=mana(federation.mana_cap),
        regeneration_per_hour=settings.performance.mana_regeneration_rate,
        grants_per_node_max=GRANTS_PER_NODE_MAX,
    )
    founders = tuple(sorted(dict.fromkeys((signer.did, *federation.founders))))
    return Found(federation.name, founders, policy)


def head_marker(settings: Settings) -> HeadMarkFiles | None:
    """Where the head mark is kept; none for a store that ends with the process."""
    if settings.storage.backend == "memory":
        return None
    data_dir = settings.runtime.data_dir.absolute()
    beside = data_dir.with_name(data_dir.name + ".head") if data_dir.name else None
    return HeadMarkFiles(data_dir / FILE_NAME, settings.storage.head_marker_path or beside)


def open_engine(
    *,
    store: KeyValueStore,
    clock: Clock,
    entropy: Entropy,
    signer: Signer,
    terms: NodeTerms,
    marker: HeadMarker | None,
) -> Engine:
    """The one writer over an open store. Becomes its author. `marker`: none where the store ends with the process."""
    return opening.open_engine(store=store, clock=clock, entropy=entropy, signer=signer, terms=terms, marker=marker)


def network(settings: Settings, signer: Signer, clock: Clock) -> Libp2pNetwork | None:
    """The libp2p network, where it is enabled."""
    chosen = settings.network
    if not chosen.p2p_enabled:
        return None
    wanted = NetworkSettings(
        listen=(chosen.p2p_listen_addr,),
        announce=chosen.announce_addrs,
        bootstrap=chosen.bootstrap_peers,
        agent=AGENT,
        discovery=DiscoverySettings(DiscoveryMode(chosen.discovery)),
        mdns=chosen.enable_mdns,
        peers_low=min(chosen.min_peers, chosen.max_peers),
        peers_max=chosen.max_peers,
        memory_bytes_max=chosen.memory_budget_bytes,
        dial=DialSettings(_retry(settings), _breaker(settings), connect_ms_max=chosen.connection_timeout_ms),
    )
    return Libp2pNetwork(wanted, signer, SystemEntropy().bytes, clock.now, PROTOCOL_MESSAGE_BYTES_MAX)


def _retry(settings: Settings) -> RetrySettings:
    """How calls to other machines are tried again, whatever they are made over."""
    chosen = settings.network
    return RetrySettings(chosen.retry_max_attempts, chosen.retry_initial_delay_ms, chosen.retry_max_delay_ms)


def _breaker(settings: Settings) -> BreakerSettings:
    """When other machines are left alone."""
    return BreakerSettings(settings.network.failure_threshold, settings.network.open_timeout_ms)


def sandbox(settings: Settings, signer: Signer) -> Executor:
    """What executes jobs: workers on this machine, or the machines of a cluster.

    Raises:
        ConfigError: the cluster that was asked for cannot be used as configured.
    """
    # As many as the node takes, and one at least, for re-executing receipts on request.
    workers = max(1, settings.performance.max_concurrent_jobs)
    chosen = SandboxSettings(
        workers=workers,
        isolation=Isolation(settings.executor.isolation),
        compile_ms=settings.executor.compile_ms,
        executions_per_worker=settings.executor.jobs_per_worker,
        worker_memory_bytes=settings.executor.worker_memory_bytes,
    )
    if settings.executor.backend == "ray":
        return _cluster(settings, signer, chosen)
    # Compiled modules are native code: only files this very node wrote are believed.
    key = hashlib.sha256(signer.sign(b"icn/module-cache/1", b"")).digest()[:KEY_BYTES]
    folder: Path = settings.runtime.data_dir / "modules"
    cache = ModuleCache(folder, key=key, bytes_max=chosen.cache_bytes_max, profile=profile())
    return WorkerPool(chosen, cache)


def _cluster(settings: Settings, signer: Signer, sandbox_: SandboxSettings) -> Executor:
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("[executor] backend = ray needs a library that is not installed: pip install 'icn[ray]'")
    chosen = settings.executor
    if chosen.ray_address is None:
        raise ConfigError("executor.backend is ray, and executor.ray_address is not set")
    pem = (chosen.ray_tls_cert_path, chosen.ray_tls_key_path, chosen.ray_tls_ca_path)
    tls = None
    if all(pem):
        certificate, key, authority = (_readable(path) for path in pem if path is not None)
        if settings.runtime.environment == "production" and key.stat().st_mode & 0o077:
            raise ConfigError(f"executor.ray_tls_key_path = {key} can be read by others: chmod 600 {key}")
        tls = TlsFiles(certificate=str(certificate), key=str(key), authority=str(authority))
    return ClusterPool(
        ClusterSettings(
            host=chosen.ray_address.host,
            port=chosen.ray_address.port,
            token=None if chosen.ray_token is None else chosen.ray_token.reveal(),
            tls=tls,
            workers_per_machine=chosen.ray_workers_per_machine,
            cache_path="" if chosen.ray_cache_path is None else str(chosen.ray_cache_path),
            owner=str(signer.did),
            sandbox=sandbox_,
        )
    )


def _readable(path: Path) -> Path:
    """`path` from the root, where programs elsewhere find it."""
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    return path.absolute()


def backup_target(settings: Settings) -> BackupTarget | None:
    """Where scheduled backups go; None where that is not configured. Nothing is asked of it yet."""
    chosen = settings.backup
    match chosen.target:
        case None:
            return None
        case Bucket(bucket, prefix):
            key, secret = chosen.s3_access_key_id, chosen.s3_secret_access_key
            return open_target(
                S3Settings(
                    bucket=bucket,
                    prefix=prefix,
                    endpoint=chosen.s3_endpoint,
                    region=chosen.s3_region,
                    access_key_id=None if key is None else key.reveal(),
                    secret_access_key=None if secret is None else secret.reveal(),
                    path_style=chosen.s3_path_style,
                    ca_certificate=None if chosen.s3_ca_path is None else _certificates(chosen.s3_ca_path),
                    retry=_retry(settings),
                    breaker=_breaker(settings),
                )
            )
        case folder:
            return open_target(folder)


def backup_encryption(settings: Settings) -> Encryption | None:
    """To whom archives are encrypted."""
    chosen = settings.backup
    if chosen.passphrase is not None:
        return Encryption(passphrase=chosen.passphrase.reveal())
    return Encryption(recipients=chosen.encrypt_to) if chosen.encrypt_to else None


def backup_keys(settings: Settings) -> Keys | None:
    """What opens archives in a restore drill."""
    chosen = settings.backup
    if chosen.passphrase is not None:
        return Keys(passphrase=chosen.passphrase.reveal())
    if chosen.age_identity is None:
        return None
    return Keys(identities=tuple(identities_in(chosen.age_identity.reveal())))


def _certificates(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"backup.s3_ca_path = {path} cannot be read: {error.strerror}") from error
