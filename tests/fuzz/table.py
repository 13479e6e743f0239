"""Every fuzz target, by name. What decodes a stranger's bytes belongs here."""

from fuzz import data_targets, file_targets, libp2p_targets

TARGETS = {target.name: target for target in (*libp2p_targets.TARGETS, *data_targets.TARGETS, *file_targets.TARGETS)}
