"""Who asks a node that does not keep the paying account is told which one does. Nothing is spent, or begun."""

import pytest

from icn.domain.ledger.events import AccountOpened
from icn.domain.ledger.state import apply
from icn.http.operations import Call
from icn.http.ports import DialInfo, PeersInfo
from icn.kernel.ids import PeerId
from icn.kernel.mana import Mana
from support import builders
from support.http_world import World, run

MEMBER, HOME = builders.did(7), builders.did(8)
ADDRESS = f"/dns4/home.example/tcp/7000/p2p/{PeerId.of(HOME)}"

PAID = {
    "a job": ("/mesh/submit", {"input_base64": "eA==", "max_price": 10}),
    "a transfer": ("/mana/transfer", {"to": str(HOME), "amount": 1}),
}


@pytest.mark.parametrize("what", PAID)
def test_what_is_paid_from_another_node_s_account_is_refused_with_the_way_there(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body = PAID[what]

    async def test(world: World) -> None:
        ledger = world.node.engine.state.ledger
        apply(ledger, AccountOpened(MEMBER, HOME, 0, Mana(1000), 0, Mana(100)), builders.context(8))
        world.node.known = PeersInfo((), (DialInfo(ADDRESS, "bootstrap", "connected", "closed", 1, None, None),), ())
        before = (await world.client.get("/dag/root")).json["root"]
        # Whoever bears the key is the node itself, which always has an account at home: so another caller is given.
        monkeypatch.setattr(Call, "principal", MEMBER)
        answer = await world.client.post(path, body)
        assert (answer.status, answer.json["code"]) == (409, "ledger.not_home")
        assert (answer.json["owner"], answer.json["home"]) == (str(MEMBER), str(HOME))
        assert answer.json["home_addresses"] == [ADDRESS]
        assert str(HOME) in answer.json["detail"], "a person reads which node to ask"
        assert (await world.client.get("/dag/root")).json["root"] == before
        assert ledger.accounts[MEMBER, HOME].balance == 100
        assert not world.node.engine.state.mesh.jobs

    run(test)
