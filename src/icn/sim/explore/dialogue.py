"""A path as people read it, and as the program takes it again.

```
  1. a is asked to Submit
       a records mesh.job_submitted, ledger.mana_held, mesh.bidding_opened
       a -> b: Announce, JobAnnounced
  2. b takes JobAnnounced of a, and dies in the commit
```
"""

from collections.abc import Iterator, Sequence

from icn.domain.mesh.execution import ExitKind
from icn.sim.explore.moves import (
    ANSWERED,
    EARLY,
    LATE,
    MARKED,
    NOTHING_WRITTEN,
    UNHEARD,
    UNSAID,
    Federation,
    FoundAt,
    Move,
    Next,
    State,
)

_DEATHS = {
    "": "",
    NOTHING_WRITTEN: ", and dies in the commit: nothing is written",
    UNSAID: ", and dies after the commit: nothing is said",
    ANSWERED: ", and dies after the answer, before the head mark",
    MARKED: ", and dies after the head mark",
}
_SEPARATOR = ":"


class NoSuchMove(Exception):
    """A path cannot be walked: at some point its next move is not possible."""


def name_of(node: int) -> str:
    """`a` is the first node."""
    return chr(ord("a") + node)


def written(move: Move) -> str:
    """A move as one word."""
    parts = (move.kind, name_of(move.node), str(move.other), move.what, move.dies, str(move.sent))
    return _SEPARATOR.join(parts)


def read(word: str) -> Move:
    """Inverse of `written`. Raises `NoSuchMove`."""
    parts = word.split(_SEPARATOR)
    if len(parts) != len(Move._fields) or not (parts[2] + parts[5]).isdigit() or len(parts[1]) != 1:
        raise NoSuchMove(f"{word!r} is no move")
    kind, node, other, what, dies, sent = parts
    return Move(kind, ord(node) - ord("a"), int(other), what, dies, int(sent))


def told(federation: Federation, path: Sequence[Move]) -> Iterator[str]:
    """Walks a path from the beginning and says what happens. Raises `NoSuchMove`; ends where a `Finding` is raised."""
    state = federation.at_rest()
    for number, move in enumerate(path, 1):
        yield f"{number:>3}. {_about(federation, state, move)}"
        try:
            found = _find(federation, state, move)
        except FoundAt as finding:
            yield f"     {finding}"
            return
        yield from _what_follows(federation, found)
        state = found.state


def _find(federation: Federation, state: State, move: Move) -> Next:
    for each in federation.nexts(state):
        if each.move == move:
            return each
    raise NoSuchMove(f"{written(move)} is not possible there")


def _about(federation: Federation, state: State, move: Move) -> str:
    me, other = name_of(move.node), name_of(move.other) if move.other < federation.size else ""
    end = _DEATHS[move.dies] + (f" and {move.sent} messages" if move.sent else "")
    match move.kind:
        case "ask":
            command = federation.asks[move.other].command
            what = "cancel it" if command is None else type(command).__name__
            unheard = "; the answer is lost" if move.what == UNHEARD else ""
            return f"{me} is asked to {what}{unheard}{end}"
        case "deliver":
            return f"{me} takes {federation.first_under_way(state, move)} of {other}{end}"
        case "gather":
            return f"{me} takes everything that waits for it in one batch{end}"
        case "down":
            return f"{me} notices that {other} is gone{end}"
        case "meet":
            return f"{me} and {other} are connected"
        case "part":
            return f"{me} and {other} lose their connection"
        case "ends":
            how = "is done" if move.what == ExitKind.COMPLETED.value else move.what.replace("_", " ")
            return f"at {me} the guest {how}{end}"
        case "tick":
            return f"{me} goes on{end}"
        case "time":
            return f"{me}'s timer fires{', early' if move.what == EARLY else ''}{end}"
        case "kill":
            return f"{me}'s process is killed"
        case "start":
            return f"{me} starts{' after a long while' if move.what == LATE else ''}"
        case kind:
            return kind


def _what_follows(federation: Federation, found: Next) -> Iterator[str]:
    step, move = found.step, found.move
    if step is None:
        return
    me = name_of(move.node)
    if move.dies != NOTHING_WRITTEN and step.told:
        yield f"       {me} {', '.join(step.told)}"
    count = move.sent if move.dies else len(step.sent)
    messages = federation.processes.messages
    for peer in dict.fromkeys(sent.peer for sent in step.sent[:count]):
        names = [type(messages[sent.message]).__name__ for sent in step.sent[:count] if sent.peer == peer]
        yield f"       {me} -> {name_of(peer)}: {', '.join(names)}"
