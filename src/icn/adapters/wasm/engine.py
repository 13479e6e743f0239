"""Builds the engine a worker runs guests on. Only workers import this: the node's process never loads the engine."""

from wasmtime import Config, Engine

from icn.adapters.wasm import bounds
from icn.adapters.wasm.profile import CONFIGURATION


def build_engine() -> Engine:
    """An engine configured as the profile says."""
    config = Config()
    for name, value in CONFIGURATION:
        setattr(config, name, value)
    config.max_wasm_stack = bounds.WASM_STACK_BYTES
    # The rest changes nothing that a guest can see. No compiler threads, so that none must be allowed later; no
    # copy-on-write images, which are files, and a worker may write none.
    config.parallel_compilation = False
    config.memory_init_cow = False
    config.memory_reservation = bounds.MEMORY_RESERVATION_BYTES
    config.memory_guard_size = bounds.MEMORY_GUARD_BYTES
    return Engine(config)
