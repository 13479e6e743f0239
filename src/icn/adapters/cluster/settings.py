"""What an operator chooses about the cluster."""

from dataclasses import dataclass, field

from icn.adapters.wasm.settings import SandboxSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files by which the machines of the cluster, and this one, prove themselves to each other."""

    certificate: str
    key: str
    authority: str
    """What signed all of their certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """How the cluster is reached, and what each of its machines does."""

    host: str
    port: int
    token: str | None = field(repr=False)
    """None only where the address is a loopback one, in development: so config says."""
    tls: TlsFiles | None
    workers_per_machine: int
    """0: as many as the machine has processors for, and memory."""
    cache_path: str
    """On each machine; empty: in the home folder of the account that Ray runs under there."""
    owner: str
    """This node's DID. Nodes that share machines keep their compiled modules apart."""
    sandbox: SandboxSettings
    """Of every machine; its number of workers is not looked at."""

    @property
    def address(self) -> str:
        """As Ray takes it, and as a person reads it."""
        return address_of(self.host, self.port)


def address_of(host: str, port: int) -> str:
    """Both in one word."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
