"""A Noise session between two libp2p identities: frames, handshake payloads, and the ciphers afterwards.

Source: https://github.com/libp2p/specs/tree/master/noise. Every Noise message has its length in front, "encoded as a
16-bit unsigned big-endian integer". The payload of messages 2 and 3 is a protobuf with the sender's identity key, its
signature over `noise-libp2p-static-key:` and the Noise static key, and extensions; ours name the stream multiplexers,
which saves the round trip of negotiating one ("early muxer negotiation").

| state | initiator | responder |
|---|---|---|
| HELLO | on message 2: checks identity, sends message 3, ESTABLISHED | on message 1: sends message 2, ANSWER |
| ANSWER | never here | on message 3: checks identity, ESTABLISHED |
| ESTABLISHED | cuts, decrypts, encrypts | the same |

The initiator has sent message 1 at `start`. It checks who answered before it says who it is, so nobody but the expected
peer learns our identity from us.

Only Ed25519 identities are accepted: our peer ids are their keys (`kernel.ids`).
"""

from dataclasses import dataclass

from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation, require
from icn.kernel.ids import PUBLIC_KEY_BYTES, Did, PeerId
from icn.kernel.signing import Signer, verify_raw
from icn.protocol.libp2p.noise import MESSAGE_BYTES_MAX, PLAINTEXT_BYTES_MAX, Cipher, Role, XXHandshake
from icn.protocol.libp2p.protobuf import Message, bytes_field

STATIC_KEY_TAG = b"noise-libp2p-static-key:"
"""libp2p noise: the signed data is "the UTF-8 string noise-libp2p-static-key:" and the Noise static public key."""

_ED25519_KEY = bytes.fromhex("08011220")
"""The protobuf {Type: Ed25519, Data: 32 bytes} up to the data; the peer-ids spec allows this one encoding."""
_IDENTITY_KEY, _IDENTITY_SIG, _EXTENSIONS = 1, 2, 4
_STREAM_MUXERS = 2
_LENGTH_BYTES = 2


@dataclass(frozen=True, slots=True)
class Keys:
    """What a session needs from outside: who we are, and 32 fresh random bytes twice."""

    signer: Signer
    static: bytes
    ephemeral: bytes


@dataclass(frozen=True, slots=True)
class Established:
    """The result of a handshake."""

    peer: PeerId
    muxers: tuple[str, ...]
    """Multiplexers the other side named early; empty when it does not know the extension."""
    session: bytes
    """The handshake hash; names the session the same way on both sides."""


def public_key_message(did: Did) -> bytes:
    """The protobuf public key of a node."""
    return _ED25519_KEY + did.public_key


def peer_of_public_key(message: bytes) -> PeerId:
    """Who has the protobuf public key `message`. Raises `PeerViolation` unless it is an Ed25519 key."""
    if message[: len(_ED25519_KEY)] != _ED25519_KEY or len(message) != len(_ED25519_KEY) + PUBLIC_KEY_BYTES:
        raise PeerViolation("identity: the key is not an Ed25519 public key")
    return PeerId.from_public_key(message[len(_ED25519_KEY) :])


class SecureChannel:
    """Bytes from the socket in; handshake answers, then plaintext out."""

    def __init__(
        self, role: Role, keys: Keys, *, expected: PeerId | None, muxers: tuple[str, ...], message_bytes_max: int
    ) -> None:
        self._role = role
        self._signer = keys.signer
        self._noise = XXHandshake(role, static=keys.static, ephemeral=keys.ephemeral)
        self._expected = expected
        self._muxers = muxers
        self._handshake_bytes_max = message_bytes_max
        self._buffer = bytearray()
        self._ciphers: tuple[Cipher, Cipher] | None = None
        self.established: Established | None = None

    def start(self) -> bytes:
        """Message 1, for the initiator. Its payload is empty: it would be readable by everybody."""
        return _framed(self._noise.write(b"")) if self._role is Role.INITIATOR else b""

    def handshake(self, data: bytes) -> bytes:
        """Take received bytes until `established`; gives bytes to send.

        What comes behind the handshake waits for `decrypt`.

        Raises:
            PeerViolation: a rule of Noise or of the libp2p payload is broken.
            Invalid: the payload is not a protobuf message.
        """
        self._buffer += data
        out = b""
        while self.established is None and len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if length > self._handshake_bytes_max:
                raise PeerViolation(f"noise: a handshake message of {length} bytes")
            if len(self._buffer) < _LENGTH_BYTES + length:
                break
            message = bytes(self._buffer[_LENGTH_BYTES : _LENGTH_BYTES + length])
            del self._buffer[: _LENGTH_BYTES + length]
            out += self._step(message)
        return out

    def decrypt(self, data: bytes) -> list[bytes]:
        """The plaintexts of every message complete with `data`. Raises `PeerViolation`."""
        _, receiving = self._session()
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
            self._buffer.clear()
        view, position, size = memoryview(data), 0, len(data)
        plaintexts: list[bytes] = []
        while size - position >= _LENGTH_BYTES:
            start = position + _LENGTH_BYTES
            end = start + (data[position] << 8 | data[position + 1])
            if end > size:
                break
            plaintexts.append(receiving.decrypt(view[start:end]))
            position = end
        self._buffer += view[position:]
        return plaintexts

    def encrypt(self, plaintext: bytes) -> bytes:
        """`plaintext` in as few messages as hold it."""
        sending, _ = self._session()
        if len(plaintext) <= PLAINTEXT_BYTES_MAX:
            return _framed(sending.encrypt(plaintext))
        view = memoryview(plaintext)
        return b"".join(
            _framed(sending.encrypt(view[start : start + PLAINTEXT_BYTES_MAX]))
            for start in range(0, len(plaintext), PLAINTEXT_BYTES_MAX)
        )

    def _session(self) -> tuple[Cipher, Cipher]:
        if self._ciphers is None:
            raise InvariantBroken("a channel carries data after its handshake only")
        return self._ciphers

    def _step(self, message: bytes) -> bytes:
        payload = self._noise.read(message)
        if self._role is Role.INITIATOR:
            peer, muxers = self._checked(payload)
            out = _framed(self._noise.write(self._payload()))
        elif self._noise.messages == 1:
            return _framed(self._noise.write(self._payload()))
        else:
            peer, muxers = self._checked(payload)
            out = b""
        self._ciphers = self._noise.split()
        self.established = Established(peer, muxers, self._noise.hash)
        return out

    def _payload(self) -> bytes:
        """libp2p noise: NoiseHandshakePayload."""
        extensions = b"".join(bytes_field(_STREAM_MUXERS, muxer.encode()) for muxer in self._muxers)
        return (
            bytes_field(_IDENTITY_KEY, public_key_message(self._signer.did))
            + bytes_field(_IDENTITY_SIG, self._signer.sign(STATIC_KEY_TAG, self._noise.static_public))
            + (bytes_field(_EXTENSIONS, extensions) if extensions else b"")
        )

    def _checked(self, payload: bytes) -> tuple[PeerId, tuple[str, ...]]:
        """Who the other is, and the multiplexers it named."""
        message = Message(payload)
        key, signature = message.byte_string(_IDENTITY_KEY), message.byte_string(_IDENTITY_SIG)
        if key is None or signature is None:
            raise PeerViolation("noise: the payload lacks identity key or signature")
        peer = peer_of_public_key(key)
        # "If the signature is invalid, the connection MUST be terminated immediately."
        if not verify_raw(key[len(_ED25519_KEY) :], STATIC_KEY_TAG + self._noise.remote_static, signature):
            raise PeerViolation("noise: the identity signature is not valid")
        if self._expected is not None and peer != self._expected:
            raise PeerViolation(f"noise: {peer} answered where {self._expected} was expected")
        extensions = message.byte_string(_EXTENSIONS)
        named = Message(extensions).byte_strings(_STREAM_MUXERS) if extensions else []
        return peer, tuple(_text(name) for name in named)


def _framed(message: bytes) -> bytes:
    require(len(message) <= MESSAGE_BYTES_MAX, "a Noise message has at most 65535 bytes")
    return len(message).to_bytes(_LENGTH_BYTES, "big") + message


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise Invalid("noise payload", "a multiplexer's name is not UTF-8") from error
