"""The table of commands: what there is, in a sentence each, and the module that does it, imported when it is used.

A command's module has `ACTIONS`, from the command's last word to what it takes and does.
"""

from typing import NamedTuple


class Command(NamedTuple):
    """A line of the table."""

    words: str
    """`info`, `dag put`."""
    module: str
    summary: str

    @property
    def group(self) -> str:
        """The first word; of `info`, itself."""
        return self.words.split()[0]

    @property
    def verb(self) -> str:
        """The last word."""
        return self.words.split()[-1]


COMMANDS = (
    Command("info", "icn.cli.info", "what this node is: name, version, addresses"),
    Command("status", "icn.cli.info", "how this node is doing: federation, mana, jobs, peers"),
    Command("dag put", "icn.cli.dag", "store a file as content; prints its CID"),
    Command("dag get", "icn.cli.dag", "fetch content by CID, verified here"),
    Command("dag pin", "icn.cli.content", "keep content until it is unpinned"),
    Command("dag unpin", "icn.cli.content", "take away a pin"),
    Command("dag prune", "icn.cli.content", "remove content that nobody needs, or say what would go"),
    Command("dag meta", "icn.cli.content", "everything about a block but its bytes"),
    Command("dag blocks", "icn.cli.content", "list content, or signed blocks"),
    Command("dag status", "icn.cli.content", "what is stored, and how its integrity is known"),
    Command("dag export", "icn.cli.content", "blocks as a CAR file, verified here"),
    Command("dag import", "icn.cli.content", "take the blocks of a CAR file"),
    Command("dag root", "icn.cli.dag", "the root: one name for everything this node knows"),
    Command("dag verify", "icn.cli.dag", "verify a store, through its node or without; lists every finding"),
    Command("dag evidence", "icn.cli.evidence", "members that signed two histories; export the proof, or verify one"),
    Command("dag resume", "icn.cli.resuming", "let a node write again whose store was put back"),
    Command("dag backup", "icn.cli.backup", "write the store, or what changed in it, to an archive"),
    Command("dag restore", "icn.cli.restore", "fill a store from archives, checked whole before anything is written"),
    Command("mesh submit", "icn.cli.mesh", "submit a job: a module by CID, a .wasm or .wat file, or echo"),
    Command("mesh jobs", "icn.cli.mesh", "list jobs, newest first"),
    Command("mesh job", "icn.cli.mesh", "everything about one job"),
    Command("mesh output", "icn.cli.mesh", "what a completed job wrote, verified here"),
    Command("mesh watch", "icn.cli.watching", "follow one job until it ends, or all jobs"),
    Command("mesh executors", "icn.cli.mesh", "who executes jobs, at what price, and how they fared"),
    Command("mesh unsettled", "icn.cli.mesh", "which homes have not recorded receipts of this node"),
    Command("mesh cancel", "icn.cli.mesh", "give up a job; its mana is released"),
    Command("mesh blacklist", "icn.cli.mesh", "executors that get no jobs here, why and for how long; --clear one"),
    Command("mesh receipt", "icn.cli.receipts", "the receipt of a completed job, to show or to keep"),
    Command("mesh verify", "icn.cli.mesh", "check a receipt's signature, run the job again, compare"),
    Command("mana balance", "icn.cli.mana", "what an account has; by default the node's own"),
    Command("mana transfer", "icn.cli.mana", "send mana to an account"),
    Command("mana supply", "icn.cli.mana", "minted, burned and where it is, and whether that adds up"),
    Command("sync status", "icn.cli.sync", "whether peers have the same blocks, and in what they differ"),
    Command("sync now", "icn.cli.sync", "ask every peer for what is missing, and wait for it"),
    Command("events", "icn.cli.events", "what has happened; can follow what happens"),
    Command("network peers", "icn.cli.network", "who is connected, and who is being dialled"),
    Command("network connect", "icn.cli.network", "call a node and keep it connected"),
    Command("identity create", "icn.cli.identity", "make a new key file"),
    Command("identity show", "icn.cli.identity", "the DID and peer id of a key file"),
    Command("identity encrypt", "icn.cli.identity", "encrypt a key file with a passphrase"),
    Command("identity passphrase", "icn.cli.identity", "change the passphrase of a key file"),
    Command("identity verify", "icn.cli.identity", "whether a key file is whole, private, and signs"),
    Command("federation status", "icn.cli.federation", "the federation: policy, state, members"),
    Command("federation members", "icn.cli.federation", "the nodes of the federation"),
    Command("federation peers", "icn.cli.federation", "the connected nodes of the federation"),
    Command("federation invite", "icn.cli.federation", "issue an invitation: one line, good for one node"),
    Command("federation invitations", "icn.cli.federation", "the invitations of this node; --revoke one"),
    Command("federation join", "icn.cli.federation", "join a federation by an invitation or a member's address"),
    Command("federation init", "icn.cli.federation", "found a federation, and give up the one this node is alone in"),
    Command("federation leave", "icn.cli.federation", "leave the federation, for good, once nothing is pending here"),
    Command("federation remove", "icn.cli.federation", "vote to remove a member that does not leave, for good"),
    Command("federation admit", "icn.cli.federation", "admit a node that waits for admission, or vote for it"),
    Command("storage info", "icn.cli.storage", "what a store is: engine, place, format, owner, size"),
    Command("storage migrate", "icn.cli.storage", "move a store to another engine, verified"),
    Command("storage rebuild", "icn.cli.storage", "make rows and indexes again from a store's blocks, verified"),
    Command("storage reopen", "icn.cli.storage", "take back a move whose copy was never used"),
    Command("backup status", "icn.cli.backup_schedule", "how scheduled backups fare: last, next, verified, failures"),
    Command("backup list", "icn.cli.backup_schedule", "the backups of this node at their target"),
    Command("backup run", "icn.cli.backup_schedule", "make a scheduled backup now"),
    Command("backup drill", "icn.cli.backup_schedule", "prove that the node can be restored from the newest backup"),
    Command("devnet up", "icn.cli.devnet.up", "start a federation of real nodes on this machine"),
    Command("devnet status", "icn.cli.devnet.status", "how they are: ready, equal roots, peers, CPU, memory"),
    Command("devnet load", "icn.cli.devnet.load", "jobs and transfers on all of them; how many succeeded, how fast"),
    Command("devnet chaos", "icn.cli.devnet.chaos", "kill, pause, restart them by chance; all must recover"),
    Command("devnet down", "icn.cli.devnet.down", "stop them; --purge removes their data, too"),
    Command("account open", "icn.cli.account", "open an account for a DID on this node"),
)


def find(first: str, second: str | None) -> Command | None:
    """The command of these words; `second` is not looked at where the first is a command by itself."""
    for command in COMMANDS:
        if command.words == first or (second is not None and command.words == f"{first} {second}"):
            return command
    return None


def in_group(name: str) -> tuple[Command, ...]:
    """The commands that begin with this word."""
    return tuple(command for command in COMMANDS if command.group == name)
