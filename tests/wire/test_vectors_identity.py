"""Published DIDs and peer ids: the names other software gives the same keys."""

import re

import pytest

from icn.kernel.errors import Invalid
from icn.kernel.ids import Did, PeerId
from icn.kernel.signing import SeedSigner
from support.vectors import vector_json, vector_lines

CCG = "identity/did-key-w3c-ccg/"


def test_the_did_of_each_published_seed_is_the_published_one() -> None:
    cases = vector_json(CCG + "ed25519-x25519.json")
    for text, case in cases.items():
        assert SeedSigner(bytes.fromhex(case["seed"])).did.text == text
        assert str(Did.parse(text)) == text
    assert len(cases) == 5


@pytest.mark.parametrize("kind", ["bls12381", "nist-curves", "rsa", "secp256k1", "x25519"])
def test_dids_of_keys_we_do_not_speak_are_refused(kind: str) -> None:
    foreign = sorted(set(re.findall(r"did:key:z\w+", str(vector_json(f"{CCG}{kind}.json")))))
    assert foreign
    for text in foreign:
        with pytest.raises(Invalid):
            Did.parse(text)


def test_of_the_dids_in_the_2025_specification_those_of_ed25519_are_read_and_no_others() -> None:
    sections = vector_json("identity/did-key-spec-2025-vectors.json")
    read = 0
    for section in sections:
        for text in section["dids"]:
            if text.startswith("did:key:z6Mk"):
                did = Did.parse(text)
                assert Did.from_public_key(did.public_key) == did
                read += 1
            else:
                with pytest.raises(Invalid):
                    Did.parse(text)
    assert read >= 2


def test_statics_of_another_implementation_are_read() -> None:
    statics = [text for text in vector_json("identity/did-key-spruce/did-key-statics.json") if text[8:12] == "z6Mk"]
    assert statics
    for text in statics:
        assert Did.from_public_key(Did.parse(text).public_key).text == text


@pytest.mark.parametrize("verdict", ["valid", "invalid"])
def test_general_did_syntax_that_is_no_ed25519_key_is_refused(verdict: str) -> None:
    lines = vector_lines(f"codec/atproto-interop/syntax/did_syntax_{verdict}.txt")
    assert len(lines) > 10
    for line in lines:
        with pytest.raises(Invalid):
            Did.parse(line)


def test_the_peer_id_of_the_published_key_and_back() -> None:
    published = vector_json("p2p/libp2p/peer-ids.json")
    keys = {entry["name"]: bytes.fromhex(entry["protobuf_hex"]) for entry in published["keys"]}
    private, public = keys["ED25519 private key"], keys["ED25519 public key"]
    signer = SeedSigner(private[4:36])
    assert signer.did.public_key == public[4:]
    peer = PeerId.of(signer.did)
    assert peer.multihash == bytes((0, len(public))) + public  # identity multihash of the protobuf
    assert PeerId.parse(peer.text) == peer
    assert peer.did == signer.did


def test_peer_ids_in_the_specification_text_that_are_not_of_ed25519_are_refused() -> None:
    for text in vector_json("p2p/libp2p/peer-ids.json")["peer_id_strings_in_text"]:
        if text.startswith("12D3KooW"):
            assert PeerId.parse(text).text == text
        else:
            with pytest.raises(Invalid):
                PeerId.parse(text)
