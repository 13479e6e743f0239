"""What honest nodes that have heard of each other must have in common, down to their stores."""

from icn.services import rows
from icn.services.verify import verify
from icn.sim import checkers
from support.world import World


def agree(world: World, *names: str) -> None:
    """Equal blocks, equal states, equal to what is stored and to what the journal gives; mana is where it was."""
    nodes = [world[name] for name in names]
    assert len({node.engine.state.feeds.root() for node in nodes}) == 1
    for node in nodes:
        checkers.same_state("agreement", node.name, nodes[0].engine.state, node.engine.state)
        checkers.same_state("rows", node.name, node.engine.state, rows.load(node.store))
        checkers.supply_adds_up(node.name, node.engine.state.ledger)
        assert not verify(node.store, node.did, deep=True).findings
