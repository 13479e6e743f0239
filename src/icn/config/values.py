"""Types of configured values: addresses, buckets and secrets, parsed once and safe to print.

Not here: multiaddrs (`icn.protocol.libp2p.multiaddr`), which setting has which type (`schema`), where a value came
from (`sources`).
"""

import hmac
import ipaddress
import re
from dataclasses import dataclass
from typing import Self, final

from icn.kernel.errors import Invalid

PORT_MAX = 65_535
STARS = "********"
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\Z")
_HOST_CHARS_MAX = 253
BUCKET_SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*\Z")
_PREFIX_CHARS_MAX = 512


@final
class Secret:
    """Text that prints as stars, in every way Python prints (surface, "Secrets")."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return f"Secret({STARS})"

    def __str__(self) -> str:
        return STARS

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class HostPort:
    """A socket address to listen on: `127.0.0.1:7845`, `[::1]:7845`, `localhost:0`. Port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `Invalid` unless `text` is a host and a port; an IPv6 host stands in brackets."""
        host, colon, port = text.rpartition(":")
        if not colon:
            raise Invalid("address", "has no port; write host:port, as in 127.0.0.1:7845")
        if not host:
            raise Invalid("address", f"has no host; to listen on every interface write 0.0.0.0:{port}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            _require_ip(host, 6)
        elif ":" in host:
            raise Invalid("address", "an IPv6 host stands in brackets, as in [::1]:7845")
        else:
            _require_host(host)
        return cls(host, _port(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect. A host name other than localhost is not trusted to mean that."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place in an S3 service: `s3://bucket/prefix`."""

    bucket: str
    prefix: str
    """What names there begin with; may be empty. No slash at either end."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `Invalid` for anything else; credentials do not belong there."""
        bucket, _, prefix = text.removeprefix(BUCKET_SCHEME).partition("/")
        prefix = prefix.rstrip("/")
        if not text.startswith(BUCKET_SCHEME) or not _BUCKET.match(bucket):
            raise Invalid("bucket", "should be s3://bucket/prefix; a bucket's name has 3 to 63 of a-z 0-9 . -")
        parts = prefix.split("/")
        if prefix and (not _PREFIX.match(prefix) or len(prefix) > _PREFIX_CHARS_MAX or {".", ".."} & set(parts)):
            raise Invalid("bucket", "what follows the bucket's name should be words of letters, digits and !_.*'()-")
        return cls(bucket, prefix)

    def __str__(self) -> str:
        return f"{BUCKET_SCHEME}{self.bucket}/{self.prefix}".rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether `host` is localhost or a loopback IP address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _require_ip(host: str, version: int) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise Invalid("address", f"{host!r} is not an IPv{version} address") from error
    if address.version != version:
        raise Invalid("address", f"{host!r} is not an IPv{version} address")


def _require_host(host: str) -> None:
    if re.fullmatch(r"[0-9.]+", host):
        _require_ip(host, 4)
    elif len(host) > _HOST_CHARS_MAX or not _HOST_NAME.match(host):
        raise Invalid("address", f"{host[:80]!r} is neither an IP address nor a host name")


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > PORT_MAX:
        raise Invalid("port", f"{text[:20]!r} is not a number from 0 to {PORT_MAX}")
    return int(text)
