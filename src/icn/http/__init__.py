"""The HTTP API: parse, call one service, shape the answer. No rules here."""
