"""What an operator decides about the HTTP surface. Built from the configuration by the program."""

from dataclasses import dataclass

from icn.kernel.limits import CONTENT_BYTES_MAX, KIB, MIB


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Who may come in, and how much of anything."""

    api_key_sha256: bytes | None
    """Digest of the operator's key: the key itself is not kept."""
    require_auth: bool = True
    """False: whoever can reach the address acts as the operator. The configuration allows that on loopback only."""
    body_bytes_max: int = 1 * MIB
    content_body_bytes_max: int = CONTENT_BYTES_MAX * 4 // 3 + 64 * KIB
    """For `/dag/put`, whose content travels as base64."""
    import_body_bytes_max: int = 64 * 1024 * MIB
    """For `/dag/import` and `/admin/restore`, whose body is never held; what it brings is bounded by the disk."""
    body_seconds_max: int = 60
    """How long a request may take to arrive; of an import, each piece."""
    heartbeat_seconds: int = 15
    """An event stream with nothing to say sends a comment this often, so that both ends know of a dead connection."""
