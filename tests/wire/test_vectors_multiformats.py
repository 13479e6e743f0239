"""Published varints, base encodings and CIDs."""

import csv
from io import StringIO

import pytest

from icn.kernel import varint
from icn.kernel.base_encodings import base32_decode, base32_encode, base58_decode, base58_encode
from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid
from support.vectors import vector_json, vector_lines, vector_text

PLAIN = {"basic": b"yes mani !", "leading_zero": b"\0yes mani !", "two_leading_zeros": b"\0\0yes mani !"}


def spellings(name: str) -> dict[str, str]:
    rows = csv.reader(StringIO(vector_text(f"codec/multibase/{name}.csv")), skipinitialspace=True)
    return {row[0]: row[1] for row in rows if row}


def test_published_varints_both_ways() -> None:
    cases = vector_json("codec/unsigned-varint.json")["encode"]
    for case in cases:
        data = bytes.fromhex(case["hex"])
        assert varint.encode(case["value"]) == data
        assert varint.decode(data) == (case["value"], len(data))
    assert len(cases) == 6


@pytest.mark.parametrize("name", PLAIN)
def test_published_base58_and_base32_both_ways(name: str) -> None:
    texts = spellings(name)
    assert base58_encode(PLAIN[name]) == texts["base58btc"][1:]
    assert base58_decode(texts["base58btc"][1:]) == PLAIN[name]
    assert base32_encode(PLAIN[name]) == texts["base32"][1:]
    assert base32_decode(texts["base32"][1:]) == PLAIN[name]


def test_a_second_spelling_of_the_same_bytes_is_refused() -> None:
    with pytest.raises(Invalid):
        base32_decode(spellings("case_insensitivity")["base32"][1:])


def test_texts_that_are_no_cid_are_refused() -> None:
    lines = vector_lines("codec/atproto-interop/syntax/cid_syntax_invalid.txt")
    assert len(lines) > 5
    for line in lines:
        with pytest.raises(Invalid):
            Cid.parse(line)


def test_cids_of_other_bases_are_refused_and_never_misread() -> None:
    lines = vector_lines("codec/atproto-interop/syntax/cid_syntax_valid.txt")
    assert len(lines) > 5
    read = []
    for line in lines:  # valid elsewhere: in a base other than base32, or of another hash
        try:
            read.append((line, str(Cid.parse(line))))
        except Invalid:
            continue
    assert read
    assert all(written == line and line.startswith("bafybei") for line, written in read)  # dag-pb
