"""The only place, beside HTTP and the programs, with I/O, clocks, threads and processes: one real thing per adapter.

Four families (storage, network, wasm, keys) that do not know each other, and small modules open to all of them.
Adapters satisfy ports that lower layers define; rules live below, wiring above.
"""
