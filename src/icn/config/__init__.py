"""Typed settings from defaults, template, file, environment and flags: see `load` in `icn.config.load`."""
