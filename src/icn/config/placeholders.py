"""The deployment guide's placeholders, refused with a sentence that says what belongs there (surface, "Configuration").

They are typed by people who copy a block and forget to fill it in; without this they would be told about base58.
"""

_PEER_ID = "put the peer id there that the other node prints when it starts (12D3KooW…)"
_PLACEHOLDERS = {
    "bootstrap-ip": "put the address of the bootstrap node there",
    "QmBootstrapPeerId": _PEER_ID,
    "QmBootstrapPeer": _PEER_ID,
    "QmOtherPeer": _PEER_ID,
}


def placeholder_in(multiaddr: str) -> str | None:
    """What to write instead of the guide's placeholders in `multiaddr`; None when it has none."""
    found = [part for part in multiaddr.split("/") if part in _PLACEHOLDERS]
    if not found:
        return None
    return "; ".join(f"{part} is the guide's placeholder: {_PLACEHOLDERS[part]}" for part in found)
