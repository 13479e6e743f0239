"""Every order of events of a small federation, up to bounds that are named: explicit-state model checking."""
