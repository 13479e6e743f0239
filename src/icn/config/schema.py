"""Every setting of a node: the sections of its configuration, as a whole. The one place all of these are written.

Each section's keys, types, ranges, defaults and meanings are in the file of its family. Every key has an effect, or it
is not accepted (surface, "Configuration"). The catalogue, the flags, the environment names and `docs/config.md` are
derived from these classes.

Not here: other spellings (`aliases`), sources and precedence (`load`), rules that concern several settings at once
(`check`).
"""

from icn.config.access import IdentitySettings, SecuritySettings
from icn.config.backup import BackupSettings
from icn.config.data import StorageSettings
from icn.config.federation import FederationSettings
from icn.config.jobs import ExecutorSettings, MeshSettings, PerformanceSettings
from icn.config.network import NetworkSettings
from icn.config.runtime import LoggingSettings, MonitoringSettings, RuntimeSettings
from icn.config.section import Section


class Settings(Section):
    """The whole configuration, complete and valid."""

    runtime: RuntimeSettings
    network: NetworkSettings
    storage: StorageSettings
    identity: IdentitySettings
    security: SecuritySettings
    monitoring: MonitoringSettings
    performance: PerformanceSettings
    mesh: MeshSettings
    executor: ExecutorSettings
    federation: FederationSettings
    backup: BackupSettings
    logging: LoggingSettings
