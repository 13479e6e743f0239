"""Compiles WebAssembly text to a binary module: how the examples are built without a compiler beside our own."""

from wasmtime import wat2wasm


def compile_text(source: str) -> bytes:
    """The binary module. Raises the engine's `WasmtimeError`, with line and column, for text that is wrong."""
    return bytes(wat2wasm(source))
