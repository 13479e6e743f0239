"""Published Ed25519 cases against our pinned rule set (`icn.kernel.signing`). Nodes that disagree on one would part."""

import pytest

from icn.kernel.signing import SeedSigner, verify_raw
from support.vectors import vector_json, vector_lines

REFUSED_FLAGS = (
    "low_order_A",  # the key is one of the eight points of small order
    "non_canonical_A",  # the key is not in its one encoding
    "non_canonical_R",  # the commitment is not in its one encoding
    "low_order_residue",  # holds only when multiplied by the cofactor: RFC 8032's other, looser equation
    "reencoded_k",  # holds only when the hash is taken over a re-encoded key or commitment
)


def test_of_the_914_edge_cases_exactly_those_within_the_rules_are_accepted() -> None:
    cases = vector_json("crypto/cctv-ed25519/ed25519vectors.json")
    disagree = []
    accepted = 0
    for case in cases:
        within = not any(flag in REFUSED_FLAGS for flag in case["flags"] or ())
        verdict = verify_raw(bytes.fromhex(case["key"]), case["msg"].encode(), bytes.fromhex(case["sig"]))
        accepted += verdict
        if verdict != within:
            disagree.append((case["number"], verdict, case["flags"]))
    assert not disagree
    assert (len(cases), accepted) == (914, 86)


def test_every_wycheproof_verdict_is_ours() -> None:
    disagree = []
    count = 0
    for group in vector_json("crypto/wycheproof/ed25519_test.json")["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            count += 1
            verdict = verify_raw(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            if verdict != (case["result"] == "valid"):
                disagree.append((case["tcId"], verdict, case["comment"]))
    assert not disagree
    assert count == 151


@pytest.mark.slow
def test_the_reference_signatures_are_made_byte_for_byte_and_a_flipped_bit_is_noticed() -> None:
    lines = vector_lines("crypto/pyca/ed25519-sign.input")
    for line in lines:
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        signer = SeedSigner(secret[:32])
        assert signer.did.public_key == public
        signature = signer.sign(b"", message)
        assert signature == signed[:64]
        assert verify_raw(public, message, signature)
        assert not verify_raw(public, message + b"\0", signature)
    assert len(lines) == 1024
