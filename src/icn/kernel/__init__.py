"""Shared vocabulary: ids, mana, instants, canonical bytes, signatures, error roots, bounds. Imports nothing of ours."""
