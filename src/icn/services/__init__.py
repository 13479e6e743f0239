"""Use cases: one writer, synchronous. Commands in, durable decisions and effects out."""
