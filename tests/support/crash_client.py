"""A program that writes to a store until it is killed: `python -m support.crash_client backend folder seed`.

It tells on standard output, a line each, unbuffered, in the order in which things are true:

    opened              the store could be opened
    claimed 7           it is the author, and every older fence was refused
    found 41 …          the newest batch in the store, and in JSON what differs from what must be there
    done 42             `commit` returned: from here on the batch must survive anything
    fault …             the store refused something; the program ends with code 3, without closing

Not here: judging. `support.crash_rounds` reads the lines.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from icn.kernel.errors import Fault
from icn.stores.kv import Batch, Fence, FenceLost, KeyValueStore
from support.crash_content import Expected, batch_of, head_of
from support.crash_stores import STRONG, WEAK, on_unsynced_server

BATCHES_PER_FENCE = 20
SAW_A_FAULT = 3


def say(*words: object) -> None:
    """One line, given to the system at once."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


def claim(store: KeyValueStore) -> Fence:
    """Become the author, and see that the one before is none any more."""
    fence = store.claim()
    if fence > 1:
        try:
            store.commit(Batch(), Fence(fence - 1))
        except FenceLost:
            pass
        else:
            say("fault", f"fence {fence - 1} is still good after {fence} was claimed")
            os._exit(SAW_A_FAULT)
    say("claimed", fence)
    return fence


def write(store: KeyValueStore, seed: str, batches_max: int) -> None:
    """Check what is there, then go on from it."""
    fence = claim(store)
    expected = Expected(seed)
    expected.advance(head_of(store))
    say("found", expected.head, json.dumps(expected.differences(store)))
    for number in range(expected.head + 1, expected.head + 1 + batches_max):
        if number % BATCHES_PER_FENCE == 0:
            fence = claim(store)
        store.commit(batch_of(seed, number), fence)
        say("done", number)


def main() -> None:
    """Open, check, write, close."""
    parser = argparse.ArgumentParser()
    parser.add_argument("backend")
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed")
    parser.add_argument("--batches-max", type=int, default=10_000)
    parser.add_argument("--weak", action="store_true", help="with the setting that does not wait for the disk")
    parser.add_argument("--unsynced-server", action="store_true", help="take a server that a store refuses")
    given = parser.parse_args()
    try:
        opening = (WEAK if given.weak else STRONG)[given.backend]
        store = (on_unsynced_server if given.unsynced_server else opening)(given.folder)
        say("opened")
        write(store, given.seed, given.batches_max)
        store.close()
    except Fault as error:
        say("fault", type(error).__name__, str(error).replace("\n", " "))
        os._exit(SAW_A_FAULT)  # closing might write


if __name__ == "__main__":
    main()
