"""Mana: accounts, transfers, holds, regeneration, supply (semantics §4)."""
