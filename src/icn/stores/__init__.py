"""Persistence, written once, over one port (`kv`). Knows nothing of any engine."""
