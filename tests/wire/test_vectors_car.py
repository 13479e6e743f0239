"""Published CAR files, good and broken: what IPFS tools read we read, what they refuse we refuse."""

import ast
import re
from pathlib import Path

import pytest

from icn.kernel import dag_pb
from icn.kernel.errors import Invalid
from icn.kernel.ids import DAG_PB, Cid, ForeignCid
from icn.stores.car import CarReader, Section, encode_section, identity_content
from support.vectors import vector_json, vector_path

GO_V2 = "car/go-car-v2"
GO_CMD = "car/go-car-cmd"


def spellings(cid: Cid | ForeignCid) -> set[str]:
    """A dag-pb block may be called by its CIDv0."""
    return {str(cid), str(ForeignCid(cid.data[2:]))} if isinstance(cid, Cid) and cid.codec == DAG_PB else {str(cid)}


def sections(relative: str) -> list[Section]:
    with vector_path(relative).open("rb") as file:
        return list(CarReader(file.read).sections())


@pytest.mark.parametrize("version", ["carv1-basic", "carv2-basic"])
def test_the_examples_of_the_specification_have_the_blocks_it_lists(version: str) -> None:
    path = f"car/ipld-spec/{version}/{version}"
    listed = vector_json(f"{path}.json")
    data = vector_path(f"{path}.car").read_bytes()
    with vector_path(f"{path}.car").open("rb") as file:
        reader = CarReader(file.read)
        found = list(reader.sections())
    blocks = listed["blocks"]
    assert [section.data for section in found] == [
        data[block["blockOffset"] : block["blockOffset"] + block["blockLength"]] for block in blocks
    ]
    for section, block in zip(found, blocks, strict=True):
        name = block["cid"]["/"]
        assert name in spellings(section.cid)
    roots = [root["/"] for root in listed["header"]["roots"]]
    assert [spellings(cid) >= {root} for cid, root in zip(reader.roots, roots, strict=True)] == [True] * len(roots)


@pytest.mark.parametrize(
    ("relative", "count"),
    [
        (f"{GO_V2}/sample-v1.car", 1049),
        (f"{GO_V2}/sample-v1-noidentity.car", 1043),
        (f"{GO_V2}/sample-v2-indexless.car", 1049),
        (f"{GO_V2}/sample-wrapped-v2.car", 1049),
        (f"{GO_V2}/sample-unixfs-v2.car", 3),
        (f"{GO_V2}/sample-rw-bs-v2.car", 3),
        (f"{GO_CMD}/simple-unixfs.car", 22),
        (f"{GO_CMD}/simple-unixfs-missing-blocks.car", 17),
        (f"{GO_CMD}/wikipedia-cryptographic-hash-function.car", 5),
    ],
)
def test_files_of_go_tools_are_read_to_their_end(relative: str, count: int) -> None:
    found = sections(relative)
    assert len(found) == count


def test_folders_and_files_of_ipfs_have_links_we_can_follow() -> None:
    found = {section.cid: section.data for section in sections(f"{GO_CMD}/simple-unixfs.car")}
    linked = [
        Cid.named_by(link)
        for cid, data in found.items()
        if isinstance(cid, Cid) and cid.codec == DAG_PB
        for link in dag_pb.links(data)
    ]
    assert linked
    assert all(cid in found for cid in linked)


@pytest.mark.parametrize(
    "relative",
    [
        f"{GO_V2}/sample-corrupt-pragma.car",
        f"{GO_V2}/sample-rootless-v42.car",
        f"{GO_V2}/sample-v1-tailing-corrupt-section.car",
        f"{GO_V2}/sample-v1-with-zero-len-section.car",
        f"{GO_V2}/sample-v1-with-zero-len-section2.car",
        f"{GO_V2}/sample-v2-corrupt-data-and-index.car",
        f"{GO_V2}/sample-index.carindex",
        f"{GO_CMD}/badheaderlength.car",
        f"{GO_CMD}/badsectionlength.car",
    ],
)
def test_broken_files_are_refused(relative: str) -> None:
    with pytest.raises(Invalid):
        sections(relative)


def fuzz_cases() -> list[Path]:
    return [
        file
        for folder in ("car/go-car-v1-fuzz", f"{GO_V2}/fuzz")
        for file in sorted(vector_path(folder).rglob("*"))
        if file.is_file()
    ]


def test_what_broke_other_readers_is_refused() -> None:
    cases = fuzz_cases()
    for file in cases:
        text = re.search(r'\[\]byte\("(.*)"\)', file.read_text(encoding="utf-8"), re.DOTALL)
        assert text is not None
        escaped = "".join(sign if sign.isascii() else repr(sign.encode())[2:-1] for sign in text[1])
        data = ast.literal_eval(f'b"{escaped}"')
        position = 0

        def read(most: int, data: bytes = data) -> bytes:
            nonlocal position
            piece = data[position : position + most]
            position += len(piece)
            return piece

        with pytest.raises(Invalid):
            list(CarReader(read).blocks())
    assert len(cases) == 6


def test_the_fixtures_of_dag_pb_have_form_and_the_negative_ones_have_not() -> None:
    files = sorted(vector_path("codec/ipld-codec-fixtures/fixtures").glob("*/*.dag-pb"))
    for file in files:
        data = file.read_bytes()
        dag_pb.links(data)
        assert str(Cid.of(data, DAG_PB)) == file.stem
        assert encode_section(Cid.of(data, DAG_PB), data).endswith(data)
    assert len(files) == 17
    for case in vector_json("codec/ipld-codec-fixtures/negative-fixtures/dag-pb/decode/edges.json"):
        with pytest.raises(Invalid):
            dag_pb.links(bytes.fromhex(case["hex"]))


def test_identity_blocks_hold_their_content() -> None:
    held = [
        (content, section.data)
        for section in sections(f"{GO_V2}/sample-v1.car")
        if isinstance(section.cid, ForeignCid) and (content := identity_content(section.cid)) is not None
    ]
    assert len(held) == 6
    assert all(content == data for content, data in held)
