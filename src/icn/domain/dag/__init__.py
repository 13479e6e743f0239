"""The federation's DAG: blocks, feeds, heads, verification (semantics §2)."""
