"""What a batch has gathered, and how long."""

import gc

from icn.services.work import UnitOfWork
from support.world import federation


def test_what_a_batch_has_gathered_goes_with_the_batch() -> None:
    """Records, rows and effects of each would pile up until Python looks for circles, which it seldom does."""
    world = federation("a", "b")
    gc.collect()
    gc.disable()
    try:
        world.submit("a")
        world.pass_time(3_000)
        kept = [found for found in gc.get_objects() if isinstance(found, UnitOfWork)]
    finally:
        gc.enable()
    assert world["a"].engine.state.feeds.block_count > 2
    assert not kept
