"""The surface `icn-cli`: everything a person does with a node, over its HTTP API, and with key files."""
