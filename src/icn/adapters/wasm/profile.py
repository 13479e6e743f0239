"""Names everything that an execution's result depends on besides the request (semantics §5).

Two nodes with the same profile get the same output and fuel; results of different profiles are not compared. So the
name changes with the engine's version, its configuration, the rewriter, what is refused, and what host calls cost and
answer. It knows the engine only as an installed package: the node's own process never loads it.
"""

import hashlib
from importlib.metadata import version

from icn.adapters.wasm import bounds, rewrite

CONFIGURATION: tuple[tuple[str, bool], ...] = (
    ("consume_fuel", True),
    ("epoch_interruption", True),
    ("cranelift_nan_canonicalization", True),
    ("wasm_relaxed_simd", True),
    ("wasm_relaxed_simd_deterministic", True),
    ("wasm_simd", True),
    ("wasm_bulk_memory", True),
    ("wasm_multi_value", True),
    ("wasm_reference_types", True),
    ("wasm_tail_call", True),
    # What the rewriter does not read, or what is not deterministic, or not settled as a standard.
    ("wasm_threads", False),
    ("wasm_multi_memory", False),
    ("wasm_memory64", False),
    ("wasm_gc", False),
    ("gc_support", False),
    ("wasm_function_references", False),
    ("wasm_exceptions", False),
    ("wasm_stack_switching", False),
    ("wasm_wide_arithmetic", False),
    ("wasm_custom_page_sizes", False),
    ("wasm_component_model", False),
)
"""Options of the engine that decide what a module means."""

HOST_VERSION = 2
"""Raised whenever a host call begins to cost or answer something else."""


def profile() -> str:
    """Such as `icn-wasm-1/wasmtime-50.0.1/1f2e3d4c`."""
    shapes = (bounds.SECTIONS_MAX, bounds.DATA_SEGMENTS_MAX, bounds.FUNCTION_BYTES_MAX, bounds.LOCALS_MAX)
    declared = (bounds.TYPES_MAX, bounds.IMPORTS_MAX, bounds.FUNCTIONS_MAX, bounds.EXPORTS_MAX, bounds.TABLES_MAX)
    parts = (CONFIGURATION, bounds.WASM_STACK_BYTES, rewrite.VERSION, HOST_VERSION, shapes, declared)
    return f"icn-wasm-1/wasmtime-{version('wasmtime')}/{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"
