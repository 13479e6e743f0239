"""The sections `[runtime]`, `[monitoring]` and `[logging]`: the process, and what its operator sees of it."""

from pathlib import Path
from typing import Annotated, Literal

from icn.config.section import Environment, Section, Setting, as_path, from_text
from icn.config.values import HostPort

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "text"]


def _log_output(text: str) -> Path | None:
    return None if text == "stderr" else as_path(text)


class RuntimeSettings(Section):
    """What kind of node this is and where its files are."""

    environment: Annotated[
        Environment, Setting("Development relaxes what `config check` insists on and shortens some defaults.")
    ] = "production"
    test_mode: Annotated[
        bool,
        Setting(
            "A node to try things with: in memory, without P2P, with a demonstration federation. "
            "Real cryptography, the same code. Changes defaults only: what you set yourself stays."
        ),
    ] = False
    log_level: Annotated[LogLevel, Setting("The least important messages that are logged.")] = "info"
    standby: Annotated[
        bool,
        Setting(
            "Wait while another process holds the store, not ready, and take over when it lets go.",
            default_with={"postgresql": True},
        ),
    ] = False
    data_dir: Annotated[Path, from_text(as_path), Setting("Where files go whose own path is not configured.")] = Path(
        "./icn_data"
    )


class MonitoringSettings(Section):
    """Metrics for Prometheus."""

    metrics_enabled: Annotated[bool, Setting("Serve metrics on a listener of their own.")] = True
    metrics_bind_addr: Annotated[HostPort, from_text(HostPort.parse), Setting("Where metrics are served.")] = HostPort(
        "127.0.0.1", 9090
    )


class LoggingSettings(Section):
    """What the log looks like and where it goes; its level is `runtime.log_level`."""

    format: Annotated[LogFormat, Setting("One JSON object per line, or text for people.")] = "json"
    output: Annotated[Path | None, from_text(_log_output), Setting("`stderr`, or the path of a file.")] = None
