"""Every bound of one libp2p connection, as one settings value. Bounds on the number of connections are the driver's."""

from dataclasses import dataclass

from icn.kernel.limits import KIB, MIB


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one peer may ask of us over one connection."""

    handshake_ms_max: int = 10_000
    """From accepting to a multiplexed session; counted from the start, so one byte per second does not extend it."""
    handshake_message_bytes_max: int = 4 * KIB
    """One Noise handshake message. Ours have about 200 bytes."""
    line_bytes_max: int = 256
    """One multistream line with its newline: a protocol id."""
    proposals_max: int = 16
    """Protocols a peer may propose in one negotiation before we give up on it."""

    inbound_streams_max: int = 256
    """Streams the peer has open to us. More are reset, as Yamux provides."""
    outbound_streams_max: int = 256
    """Streams we have open to the peer."""
    negotiation_ms_max: int = 10_000
    """From a stream's opening to an agreed protocol."""

    frame_bytes_max: int = 16 * MIB
    """The length a Yamux data frame may claim. The window bounds it further."""
    receive_window_max: int = 4 * MIB
    """How far one stream's receive window may grow from the 256 KiB it begins with."""
    window_growth_bytes_max: int = 16 * MIB
    """Growth of all receive windows of the connection together."""
    unread_bytes_max: int = 8 * MIB
    """Received and not yet taken by the streams' readers; above it the socket is not read."""
    control_bytes_max: int = 64 * KIB
    """Answers we owe (window updates, resets, pongs) to a peer that does not read them; above it we close."""
    pings_unanswered_max: int = 64
    """Yamux pings, and libp2p pings on one stream, whose answers the peer has not taken from us."""

    ping_every_ms: int = 15_000
    """From a ping's answer to the next ping."""
    ping_answer_ms_max: int = 10_000
    """After this a ping is given up and another one sent."""
    pings_lost_max: int = 3
    """So many pings in a row that are not answered in time: the connection is dead, whatever else comes on it."""
    silence_ms_max: int = 40_000
    """Not a byte for this long, though we pinged: the connection is dead. Twice the time a ping and its answer take."""
    identify_bytes_max: int = 8 * KIB
    """One identify message; the specification has no bound, go and js use 8 KiB."""
    identify_entries_max: int = 256
    """Protocols, and addresses, kept from one identify message."""
    identify_messages_max: int = 10
    """On one identify stream: go sends a long description in parts."""
    pushes_per_minute_max: int = 30
    """Descriptions that the peer may push; each costs us the verification of a signature."""
