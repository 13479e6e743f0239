"""The sandbox: members' WebAssembly runs in worker processes, within limits, the same on every node (semantics §6).

Kept empty of imports, because a worker process starts through it and must stay light.
"""
