"""Jobs: from submission through bids and attempts to a receipt or a rollback (semantics §5)."""
