"""Who admits whom in a devnet, by the federation's policy."""

import argparse
import io

import pytest

from icn.cli.devnet.admitting import Admitter
from icn.cli.devnet.asking import Asker, askers
from icn.cli.devnet.folder import Folder
from icn.cli.endings import Ended
from icn.cli.session import Session
from icn.cli.world import World
from support.cli_server import NodeDouble, answer, problem


@pytest.fixture
def asked(folder: Folder) -> list[Asker]:
    world = World(
        environ=dict,
        stdin=io.BytesIO(),
        stdout=io.BytesIO(),
        stderr=io.BytesIO(),
        pause=lambda _: None,
        random=bytes,
        terminal_columns=None,
    )
    return askers(Session(world, argparse.Namespace(), patience=5.0), folder, folder.read().nodes)


def members(double: NodeDouble, *admitted: int) -> None:
    told = [{"did": f"did:key:z{number}", "admitted": number in admitted} for number in (1, 2, 3)]
    double.on("GET", "/federation/status", answer({"members": told}))


def admitted_at(double: NodeDouble) -> list[str]:
    return [asked.json["did"] for asked in double.asked if asked.path == "/federation/admit"]


def test_the_first_admits_all_others(doubles: list[NodeDouble], asked: list[Asker]) -> None:
    members(doubles[0], 1)
    doubles[0].on("POST", "/federation/admit", answer({}))
    assert Admitter(asked, votes=False).against() == "node-02, node-03 not admitted"
    assert admitted_at(doubles[0]) == ["did:key:z2", "did:key:z3"]
    members(doubles[0], 1, 2, 3)
    assert Admitter(asked, votes=False).against() is None


def test_members_vote_on_one_after_the_other(doubles: list[NodeDouble], asked: list[Asker]) -> None:
    for double in doubles:
        double.on("POST", "/federation/admit", answer({}))
    admitter = Admitter(asked, votes=True)
    members(doubles[0], 1)
    assert admitter.against() == "node-02, node-03 not admitted"
    assert [admitted_at(double) for double in doubles] == [["did:key:z2"], [], []]
    members(doubles[0], 1, 2)
    assert admitter.against() == "node-03 not admitted"
    assert [admitted_at(double) for double in doubles] == [["did:key:z2", "did:key:z3"], ["did:key:z3"], []]


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "federation.unknown_node"), (409, "federation.already_voted"), (409, "federation.already_admitted")],
)
def test_what_time_mends_is_tried_again(status: int, code: str, doubles: list[NodeDouble], asked: list[Asker]) -> None:
    members(doubles[0], 1)
    doubles[0].on("POST", "/federation/admit", problem(status, code, "not now"))
    admitter = Admitter(asked, votes=False)
    assert admitter.against()
    assert admitter.against()
    keys = [each.headers["idempotency-key"] for each in doubles[0].asked if each.path == "/federation/admit"]
    assert len(keys) == 4


def test_what_it_does_not_is_told(doubles: list[NodeDouble], asked: list[Asker]) -> None:
    members(doubles[0], 1)
    doubles[0].on("POST", "/federation/admit", problem(409, "federation.not_entitled_to_admit", "not you"))
    with pytest.raises(Ended, match="not you"):
        Admitter(asked, votes=False).against()
