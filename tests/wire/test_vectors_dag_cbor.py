"""Published DAG-CBOR and CBOR cases: the same values have the same bytes and names as in IPFS tools."""

import base64
from pathlib import Path

import pytest

from icn.kernel import encoding
from icn.kernel.errors import Invalid
from icn.kernel.ids import DAG_CBOR, Cid
from support.vectors import vector_json, vector_path

FIXTURES = "codec/ipld-codec-fixtures/fixtures"
RFC8949 = "codec/cbor-rfc8949-appendix-a/appendix_a.json"


def fixtures() -> list[Path]:
    return sorted(vector_path(FIXTURES).glob("*/*.dag-cbor"))


def test_each_fixture_decodes_encodes_to_the_same_bytes_and_has_its_published_name() -> None:
    files = fixtures()
    wrong = []
    for file in files:
        data = file.read_bytes()
        try:
            again = encoding.encode(encoding.decode(data))
        except Invalid as error:
            wrong.append((file.parent.name, str(error)))
            continue
        if again != data or str(Cid.of(data, DAG_CBOR)) != file.stem:
            wrong.append((file.parent.name, "other bytes or another name"))
    assert not wrong
    assert len(files) == 128


@pytest.mark.slow
def test_no_fixture_is_accepted_when_cut_short_or_followed_by_a_byte() -> None:
    for file in fixtures():
        data = file.read_bytes()
        for end in range(len(data) if len(data) < 400 else 40):
            with pytest.raises(Invalid):
                encoding.decode(data[:end])
        with pytest.raises(Invalid):
            encoding.decode(data + b"\0")


def test_the_negative_fixtures_are_refused() -> None:
    cases = vector_json("codec/ipld-codec-fixtures/negative-fixtures/dag-cbor/decode/duplicate-keys.json")
    assert cases
    for case in cases:
        with pytest.raises(Invalid):
            encoding.decode(bytes.fromhex(case["hex"]))


def is_dag_cbor(case: dict[str, object]) -> bool:
    """The rule of the DAG-CBOR specification, stated on RFC 8949's examples, by hand and not by our code."""
    data = bytes.fromhex(str(case["hex"]))
    first = data[0]
    tagged = first >> 5 == 6  # the examples hold no tag 42
    short_float = first in {0xF9, 0xFA}
    unfinite = str(case.get("diagnostic", "")) in {"Infinity", "-Infinity", "NaN"}
    simple = first in {0xF7, 0xF0, 0xF8}
    integer_keys = data == bytes.fromhex("a201020304")
    return bool(case["roundtrip"]) and not (tagged or short_float or unfinite or simple or integer_keys)


def test_of_the_examples_in_rfc_8949_exactly_the_dag_cbor_ones_are_accepted() -> None:
    cases = vector_json(RFC8949)
    wrong = []
    for case in cases:
        try:
            encoding.decode(bytes.fromhex(case["hex"]))
            accepted = True
        except Invalid:
            accepted = False
        if accepted != is_dag_cbor(case):
            wrong.append((case["hex"], accepted))
    assert not wrong
    assert len(cases) == 82


def test_data_model_cases_of_another_network_have_their_published_bytes_and_names() -> None:
    cases = vector_json("codec/atproto-interop/data-model/data-model-fixtures.json")
    for case in cases:
        data = base64.b64decode(case["cbor_base64"] + "==")
        assert encoding.encode(from_json(case["json"])) == data
        assert encoding.decode(data) == from_json(case["json"])
        assert str(Cid.of(data, DAG_CBOR)) == case["cid"]
    assert len(cases) == 3


def from_json(value: object) -> object:
    match value:
        case {"$link": str(text)}:
            return Cid.parse(text)
        case {"$bytes": str(text)}:
            return base64.b64decode(text + "=" * (-len(text) % 4))
        case dict():
            return {key: from_json(item) for key, item in value.items()}
        case list():
            return [from_json(item) for item in value]
        case _:
            return value
