"""Every fuzz target, by name. What decodes a stranger's bytes belongs here."""

from fuzz import data_targets, file_targets, libp2p_targets, overlay_targets

ALL = (libp2p_targets, overlay_targets, data_targets, file_targets)
TARGETS = {target.name: target for group in ALL for target in group.TARGETS}
