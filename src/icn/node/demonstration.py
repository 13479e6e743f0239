"""What `--test-mode` begins with: a federation of one node with two members' accounts and a first payment.

Made with the same commands as everything else, so nothing here is a second way of doing things.
"""

from icn.kernel.ids import Did
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner
from icn.node.drivers import Drivers
from icn.services.commands import NodeCommand, OpenAccountFor, Pay

MEMBERS = tuple(SeedSigner(name.ljust(32, b".")).did for name in (b"demo member orchard", b"demo member bakery"))
"""Their keys are published here, on purpose: nobody will mistake these accounts for real ones."""
FIRST_PAYMENT = Mana(100)


async def seed(drivers: Drivers, operator: Did) -> None:
    """Open the demonstration's accounts and make its first payment."""
    commands: list[NodeCommand] = [OpenAccountFor(member) for member in MEMBERS]
    commands.append(Pay(MEMBERS[0], FIRST_PAYMENT, "a crate of apples"))
    for number, command in enumerate(commands):
        await drivers.ask(
            command, principal=operator, key=f"demonstration-{number}", digest=b"demonstration", correlation="start"
        )
