"""Storage engines behind the port `stores.kv`, one file each, and from a backend name to an open store."""
