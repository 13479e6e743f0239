import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel import varint
from icn.kernel.base_encodings import base32_encode, base58_encode
from icn.kernel.errors import Invalid
from icn.kernel.ids import DAG_CBOR, DAG_PB, RAW, Cid, Did, ForeignCid, JobId, PeerId

KEYS = st.binary(min_size=32, max_size=32)
ALICE = Did.from_public_key(bytes(range(32)))


@given(KEYS)
def test_did_and_peer_id_of_one_key_turn_into_each_other(key: bytes) -> None:
    did = Did.from_public_key(key)
    assert did.text.startswith("did:key:z6Mk")
    assert did.public_key == key
    peer = PeerId.of(did)
    assert peer.text.startswith("12D3KooW")
    assert peer.did == did
    assert Did.parse(str(did)) == did
    assert PeerId.parse(str(peer)) == peer


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_has_no_name(length: int) -> None:
    for name in (Did, PeerId):
        with pytest.raises(Invalid, match="32 bytes"):
            name.from_public_key(bytes(length))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "did:key:z",
        "did:key:" + ALICE.text[9:],  # no multibase prefix
        ALICE.text[:-1],
        ALICE.text + "1",
        ALICE.text + "#" + ALICE.text[8:],  # a DID URL, not a DID
        ALICE.text + "\n",
        " " + ALICE.text,
        ALICE.text.upper(),
        "did:key:z1" + ALICE.text[9:],  # a leading zero byte
        "did:key:z" + base58_encode(b"\xec\x01" + bytes(32)),  # X25519
        "did:key:z" + base58_encode(b"\xed\x01" + bytes(31)),
        "did:key:z" + "z" * 100_000,
    ],
)
def test_anything_but_the_one_spelling_of_an_ed25519_did_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Did.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        PeerId.of(ALICE).text[:-1],
        PeerId.of(ALICE).text + "1",
        "1" + PeerId.of(ALICE).text,
        base58_encode(bytes.fromhex("002408021220") + bytes(32)),  # key type secp256k1
    ],
)
def test_anything_but_an_ed25519_peer_id_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        PeerId.parse(text)


def test_dids_sort_by_their_text() -> None:
    dids = [Did.from_public_key(hashlib.sha256(bytes((number,))).digest()) for number in range(20)]
    assert [did.text for did in sorted(dids)] == sorted(did.text for did in dids)


@given(st.binary(max_size=50), st.sampled_from([RAW, DAG_CBOR]))
def test_a_cid_names_its_content_and_no_other(content: bytes, codec: int) -> None:
    cid = Cid.of(content, codec)
    assert cid.codec == codec
    assert cid.names(content)
    assert not cid.names(content + b"\0")
    assert Cid.parse(str(cid)) == cid == Cid.from_bytes(cid.data)


def test_a_cid_is_the_one_ipfs_tools_print() -> None:
    assert str(Cid.of(b"", RAW)) == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


GOOD = Cid.of(b"", DAG_CBOR).data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\0",
        b"\0" + GOOD[1:],  # version 0
        GOOD[:1] + b"\x72" + GOOD[2:],  # libp2p-key
        GOOD[:2] + b"\x13" + GOOD[3:],  # sha2-512
        GOOD[2:],  # CIDv0
        GOOD[:1] + b"\xf1\x00" + GOOD[2:],  # the codec spelt too long
    ],
)
def test_a_cid_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        Cid.from_bytes(data)
    with pytest.raises(Invalid):
        Cid.parse("b" + base32_encode(data))


@pytest.mark.parametrize("text", ["", "b", str(Cid.of(b"", RAW)).upper(), "z" + str(Cid.of(b"", RAW))[1:], "b" * 10**6])
def test_a_cid_in_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Cid.parse(text)


def test_a_foreign_cid_is_kept_as_it_came() -> None:
    digest = bytes(64)
    for data in (
        b"\x12\x20" + bytes(32),  # CIDv0
        b"\x01" + varint.encode(0x70) + varint.encode(0x13) + varint.encode(64) + digest,  # dag-pb, sha2-512
        b"\x01" + varint.encode(0x129) + b"\x00\x00",  # dag-json, empty identity hash
    ):
        assert ForeignCid.from_bytes(data).data == data


def test_a_cid_of_version_0_names_the_dag_pb_block_of_the_same_hash() -> None:
    content = b"\x0a\x00"
    version_0 = ForeignCid.from_bytes(b"\x12\x20" + hashlib.sha256(content).digest())
    assert str(version_0).startswith("Qm")
    assert Cid.named_by(version_0) == Cid.of(content, DAG_PB)
    assert Cid.named_by(Cid.of(content, RAW)) == Cid.of(content, RAW)
    assert Cid.named_by(ForeignCid.from_bytes(b"\x01\x55\x00\x00")) is None


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x70\x12", b"\x02\x70\x12\x00", b"\x01\x70\x12\x02\x00"])
def test_a_malformed_foreign_cid_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        ForeignCid.from_bytes(data)


def test_a_job_id_is_bound_to_its_home_and_its_nonce() -> None:
    bob = Did.from_public_key(bytes(32))
    ids = [JobId.of(home, nonce) for home in (ALICE, bob) for nonce in (bytes(16), b"\1" * 16)]
    assert len({job.data for job in ids}) == 4
    for job in ids:
        assert JobId.parse(str(job)) == job == JobId.from_bytes(job.data)


@pytest.mark.parametrize(
    "text", ["", "job-", "job-" + "a" * 31, "job-" + "A" * 32, "job_" + "a" * 32, "job-" + "1" * 32]
)
def test_a_text_that_is_no_job_id_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        JobId.parse(text)


def test_job_ids_have_one_length() -> None:
    with pytest.raises(Invalid):
        JobId.from_bytes(bytes(19))
