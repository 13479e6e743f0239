import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.network.peer_book import (
    ADDRESSES_MAX,
    CALLED_MAX,
    FILE_BYTES_MAX,
    PEERS_MAX,
    KnownPeer,
    PeerBookUnreadable,
    read_book,
    write_book,
)
from icn.kernel.ids import PeerId
from icn.kernel.instant import Instant
from icn.kernel.signing import SeedSigner
from icn.protocol.libp2p import routing_record
from icn.protocol.libp2p.multiaddr import Multiaddr


def known(number: int, seen_at: int = 0, addresses: int = 1) -> KnownPeer:
    peer = PeerId.of(SeedSigner(hashlib.sha256(b"%d" % number).digest()).did)
    found = tuple(Multiaddr.parse(f"/ip4/192.0.2.{at}/tcp/7000").with_peer(peer) for at in range(addresses))
    return KnownPeer(peer, found, Instant(seen_at))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data" / "peers.json"
    peers = [known(1, 20), known(2, 10, addresses=2)]
    write_book(path, peers)
    assert read_book(path) == peers
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_peer_signed_is_kept_and_verified_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    signer = SeedSigner(hashlib.sha256(b"1").digest())
    one = replace(
        known(1), record=routing_record.make(signer, 5, known(1, addresses=9).addresses), reached_at=Instant(7)
    )
    write_book(path, [one])
    assert read_book(path) == [one]
    assert read_book(path)[0].worth_calling == known(1, addresses=CALLED_MAX).addresses
    for other in (known(2), replace(known(1), record=replace(one.record, envelope=one.record.envelope[:-1] + b"x"))):
        write_book(path, [replace(other, record=other.record or one.record)])
        with pytest.raises(PeerBookUnreadable):
            read_book(path)


def test_no_file_is_no_peers(tmp_path: Path) -> None:
    assert read_book(tmp_path / "peers.json") == []


def test_those_seen_last_are_kept_and_few_addresses_of_each(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    write_book(path, [known(number, number, addresses=5) for number in range(PEERS_MAX + 10)])
    found = read_book(path)
    assert [one.seen_at for one in found] == list(range(PEERS_MAX + 9, 9, -1))
    assert {len(one.addresses) for one in found} == {ADDRESSES_MAX}


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff", b"[" * 100_000, b'[{"peer": "x", "addresses": [], "seen_at": 0}]',
     b'[{"peer": "%s", "addresses": [], "seen_at": 0, "record": "#"}]' % str(known(1).peer).encode(),
     b" " * (FILE_BYTES_MAX + 1)],
)  # fmt: skip
def test_what_is_no_book_is_said_and_never_believed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "peers.json"
    path.write_bytes(content)
    with pytest.raises(PeerBookUnreadable):
        read_book(path)


def test_an_address_of_another_peer_is_dialled_as_the_peers_own(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    one, other = known(1), known(2)
    write_book(path, [KnownPeer(one.peer, other.addresses, Instant(0))])
    assert [address.peer for address in read_book(path)[0].addresses] == [one.peer]
