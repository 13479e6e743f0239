"""Where the node's signing key lives."""
