"""Every bound of the sandbox that an operator does not choose. What they choose is in settings."""

from icn.kernel.limits import CONTENT_BYTES_MAX, JOB_WALL_MS_MAX, KIB, MIB

MODULE_BYTES_MAX = CONTENT_BYTES_MAX
"""A module travels as one content block."""

# Declarations, so that reading them costs milliseconds whatever a stranger sends.
SECTIONS_MAX = 1_000
"""Custom ones included; a compiler writes a few dozen."""
TYPES_MAX = 20_000
IMPORTS_MAX = 1_000
FUNCTIONS_MAX = 100_000
EXPORTS_MAX = 10_000
NAME_BYTES_MAX = 1_000
TABLES_MAX = 4
"""The table cap holds per table, so their number must have one too."""

# Code, so that compiling it takes seconds: the engine takes much more than proportionally long for these.
DATA_SEGMENTS_MAX = 10_000
FUNCTION_BYTES_MAX = 1 * MIB
"""Of one function's body."""
LOCALS_MAX = 1_000_000
"""Of all functions together, as declared."""

WASM_STACK_BYTES = 512 * KIB
PAGE_BYTES = 64 * KIB

# What a guest may say beside its output.
DIAGNOSTIC_BYTES_MAX = 4 * KIB
"""Kept of standard error, for the outcome's detail; the rest is counted as fuel and dropped."""
DETAIL_CHARS_MAX = 2_000

# One host call.
VECTORS_MAX = 1_024
"""Buffers in one fd_read or fd_write (IOV_MAX elsewhere); more is answered with EINVAL."""
SUBSCRIPTIONS_MAX = 128
"""Subscriptions in one poll_oneoff."""
HOST_CHUNK_BYTES = 64 * KIB

# Between a worker and the node.
FRAME_BYTES_MAX = 64 * MIB
NATIVE_BYTES_MAX = 60 * MIB
"""A compiled module; it travels in one frame with what describes it."""
FIELDS_MAX = 256
MODULES_LOADED_MAX = 8
"""Compiled modules a worker keeps ready."""

# A worker process. The reservation is address space that guests index without checks; it is not memory.
MEMORY_RESERVATION_BYTES = 4096 * MIB
MEMORY_GUARD_BYTES = 32 * MIB
WORKER_ADDRESS_BYTES = 3 * 1024 * MIB
"""Address space of a worker beside the reservation."""
WORKER_OVERHEAD_BYTES = 1536 * MIB
"""Writable memory of a worker beside a guest's linear memory: interpreter, engine, compiled modules, frames; and what
compiling takes, which for a Go program of 3 MB is over 1 GiB."""
WORKER_FILES_MAX = 16
WORKER_CPU_S_MAX = 3 * JOB_WALL_MS_MAX // 1000
"""Processor time of a worker's whole life, after which the kernel ends it whatever the node does. It is replaced before
(WORKER_CPU_S_WORN), so that the longest job always fits: its thread, and one beside it."""
WORKER_CPU_S_WORN = JOB_WALL_MS_MAX // 1000
"""A worker that has used as much is not given another execution."""
