"""Addresses of nodes: `/ip4/10.0.1.100/tcp/7000/p2p/12D3KooW…` and the same in binary.

Source: https://github.com/multiformats/multiaddr and its `protocols.csv`. We speak TCP, so an address is one host, one
TCP port and perhaps the peer id expected there; every other protocol is refused by name. Binary addresses come from
identify messages and are somebody's claim.

Not here: name resolution and which addresses of ours to tell others (`adapters.network`).
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Self

from icn.kernel import varint
from icn.kernel.base_encodings import base58_decode
from icn.kernel.errors import Invalid
from icn.kernel.ids import PeerId

MULTIADDR_CHARS_MAX = 512
DNS_NAME_CHARS_MAX = 253

_DNS_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_TCP, _P2P = 6, 421
_ID_OF_OTHER_KEY = re.compile(r"(Qm|1)[1-9A-HJ-NP-Za-km-z]{20,}|b[a-z2-7]{30,}|z[1-9A-HJ-NP-Za-km-z]{30,}")


class Host(Enum):
    """How the host is named. The value is the protocol's name in the text."""

    IP4 = "ip4"
    IP6 = "ip6"
    DNS = "dns"
    DNS4 = "dns4"
    DNS6 = "dns6"


_CODE = {Host.IP4: 4, Host.IP6: 41, Host.DNS: 53, Host.DNS4: 54, Host.DNS6: 55}
_HOST_OF_CODE = {code: host for host, code in _CODE.items()}


@dataclass(frozen=True, slots=True, order=True)
class Multiaddr:
    """One TCP address, with the peer expected there if that is known."""

    text: str
    """The canonical spelling; what is shown and compared."""

    @classmethod
    def make(cls, kind: Host, host: str, port: int, peer: PeerId | None = None) -> Self:
        """From its parts. Raises `Invalid` for a host or port that cannot be."""
        text = f"/{kind.value}/{_canonical_host(kind, host)}/tcp/{_checked_port(port)}"
        return cls(f"{text}/p2p/{peer}" if peer else text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the text people write. Raises `Invalid` saying which part is wrong and what would be right."""
        if len(text) > MULTIADDR_CHARS_MAX:
            raise Invalid("multiaddr", f"longer than {MULTIADDR_CHARS_MAX} characters")
        parts = text.rstrip("/").split("/")
        if parts[0] or len(parts) < 3:
            raise Invalid("multiaddr", f"{text!r} does not look like /ip4/192.0.2.1/tcp/7000")
        kind = _host_kind(parts[1], text)
        if len(parts) < 5 or parts[3] != "tcp":
            raise Invalid("multiaddr", f"{text!r} needs /tcp/<port> behind its host; other transports are not spoken")
        if not re.fullmatch(r"[0-9]{1,5}", parts[4]):
            raise Invalid("multiaddr", f"{parts[4]!r} is not a TCP port")
        peer = None
        if len(parts) > 5:
            if len(parts) != 7 or parts[5] not in {"p2p", "ipfs"}:
                raise Invalid("multiaddr", f"{text!r} has more behind its port than /p2p/<peer id>")
            peer = _parse_peer(parts[6])
        return cls.make(kind, parts[2], int(parts[4]), peer)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """From the binary form. Raises `Invalid` for anything but one host, one TCP port and at most one peer id."""
        code, position = _code(data, 0)
        kind = _HOST_OF_CODE.get(code)
        if kind is None:
            raise Invalid("multiaddr", f"begins with protocol {code}, which is not a host we know")
        length = 4 if kind is Host.IP4 else 16
        if kind not in {Host.IP4, Host.IP6}:
            length, position = _code(data, position)
        raw, position = _take(data, position, length)
        host = str(ipaddress.ip_address(raw)) if kind in {Host.IP4, Host.IP6} else _ascii(raw)
        code, position = _code(data, position)
        if code != _TCP:
            raise Invalid("multiaddr", f"protocol {code} where tcp was expected")
        port, position = _take(data, position, 2)
        peer = None
        if position < len(data):
            code, position = _code(data, position)
            if code != _P2P:
                raise Invalid("multiaddr", f"protocol {code} where p2p was expected")
            length, position = _code(data, position)
            raw, position = _take(data, position, length)
            if position != len(data):
                raise Invalid("multiaddr", "has more behind its peer id")
            peer = PeerId.from_multihash(raw)
        return cls.make(kind, host, int.from_bytes(port, "big"), peer)

    def to_bytes(self) -> bytes:
        """The binary form."""
        host = self.host.encode("ascii")
        if self.kind in {Host.IP4, Host.IP6}:
            name = ipaddress.ip_address(self.host).packed
        else:
            name = varint.encode(len(host)) + host
        out = varint.encode(_CODE[self.kind]) + name + varint.encode(_TCP) + self.port.to_bytes(2, "big")
        if self.peer:
            multihash = self.peer.multihash
            out += varint.encode(_P2P) + varint.encode(len(multihash)) + multihash
        return out

    def with_peer(self, peer: PeerId) -> Self:
        """The same address, expecting `peer` there."""
        return replace(self, text=f"/{self.kind.value}/{self.host}/tcp/{self.port}/p2p/{peer}")

    def without_peer(self) -> Self:
        """The same address, whoever is there."""
        return replace(self, text=f"/{self.kind.value}/{self.host}/tcp/{self.port}")

    @property
    def kind(self) -> Host:
        """How the host is named."""
        return Host(self._parts[1])

    @property
    def host(self) -> str:
        """An IP address or a DNS name."""
        return self._parts[2]

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self._parts[4])

    @property
    def peer(self) -> PeerId | None:
        """Who is expected to answer."""
        parts = self._parts
        return PeerId(parts[6]) if len(parts) > 5 else None

    @property
    def _parts(self) -> list[str]:
        return self.text.split("/")

    def __str__(self) -> str:
        return self.text


def _host_kind(name: str, text: str) -> Host:
    for kind in Host:
        if kind.value == name:
            return kind
    raise Invalid("multiaddr", f"{text!r} begins with {name!r}; ip4, ip6, dns, dns4 and dns6 are understood")


def _parse_peer(text: str) -> PeerId:
    """A peer id, with a hint for the placeholders of examples and for ids of other key types."""
    try:
        return PeerId.parse(text)
    except Invalid as error:
        if not _ID_OF_OTHER_KEY.fullmatch(text) or not _decodes(text):
            why = f"{text!r} is a placeholder or mistyped, not a peer id; `icn-cli info` shows a node's real one"
            raise Invalid("multiaddr", why) from error
        raise Invalid("multiaddr", f"{text!r} names a key that is not Ed25519; only 12D3KooW… is accepted") from error


def _decodes(text: str) -> bool:
    """Whether `text` is a multihash of sha2-256 (`Qm…`), an inlined key, or a CID: an id some other node may have."""
    if not text.startswith(("Qm", "1")):
        return True
    try:
        data = base58_decode(text)
    except Invalid:
        return False
    return (data[:2] == b"\x12\x20" and len(data) == 34) or (data[:1] == b"\0" and len(data) > 2)


def _canonical_host(kind: Host, host: str) -> str:
    try:
        if kind is Host.IP4:
            return str(ipaddress.IPv4Address(host))
        if kind is Host.IP6:
            if "%" in host:
                raise Invalid("multiaddr", f"{host[:80]!r} has a zone; zones mean something on one machine only")
            return str(ipaddress.IPv6Address(host))
    except ValueError as error:
        raise Invalid("multiaddr", f"{host[:80]!r} is not an {kind.value} address") from error
    name = host.removesuffix(".")
    if not 1 <= len(name) <= DNS_NAME_CHARS_MAX or not all(_DNS_LABEL.fullmatch(label) for label in name.split(".")):
        raise Invalid("multiaddr", f"{host[:80]!r} is not a DNS name")
    return name.lower()


def _checked_port(port: int) -> int:
    if not 0 <= port <= 65_535:
        raise Invalid("multiaddr", f"{port} is not a TCP port")
    return port


def _code(data: bytes, position: int) -> tuple[int, int]:
    found = varint.decode(data, position)
    if found is None:
        raise Invalid("multiaddr", "ends too early")
    return found


def _take(data: bytes, position: int, length: int) -> tuple[bytes, int]:
    if length > len(data) - position:
        raise Invalid("multiaddr", "ends too early")
    return data[position : position + length], position + length


def _ascii(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise Invalid("multiaddr", "a DNS name that is not ASCII") from error
