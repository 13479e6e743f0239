"""Structured logs: one JSON object per line, or text for people, to standard error or to a file.

A file is followed by name: when something rotates it away, the next line goes to a new file of that name, so no signal
and no restart is needed. What is logged is chosen where it is logged; this module drops nothing but what is below the
level, and hides the values of fields whose names say that they are secrets, in case one slips in.
"""

import logging
import logging.handlers
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
SECRET_WORDS = ("key", "secret", "token", "passphrase", "password", "authorization", "seed")
"""In a field's name; a field ends with `_name` or `_path` when it says where a secret is rather than what."""
HIDDEN = "***"


def configure_logging(level: str, format: str, output: Path | None) -> None:  # noqa: A002 - the operator's word for it
    """Set the process's logging up, once, before anything is logged.

    `level` is a key of `LEVELS`, `format` is `json` or `text`, `output` a file or None for standard error.
    """
    least = LEVELS[level]
    sink: logging.Handler = (
        logging.StreamHandler(sys.stderr)
        if output is None
        else logging.handlers.WatchedFileHandler(output, encoding="utf-8")
    )
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
        structlog.processors.format_exc_info,
    ]
    # What libraries say through `logging` takes the same way, so that every line of the file has one form.
    renderer = _renderer(format, is_terminal=output is None and sys.stderr.isatty())
    sink.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    for earlier in root.handlers[:]:
        root.removeHandler(earlier)
        earlier.close()
    root.addHandler(sink)
    root.setLevel(least)
    for noisy in ("asyncio", "uvicorn", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(max(least, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the value of every field whose name says that it is a secret."""
    for name in event:
        if any(part in SECRET_WORDS for part in name.lower().split("_")) and not name.endswith(("_name", "_path")):
            event[name] = HIDDEN
    return event


def _renderer(format: str, *, is_terminal: bool) -> Any:  # noqa: A002 - the operator's word for it
    if format == "json":
        return structlog.processors.JSONRenderer(sort_keys=False)
    return structlog.dev.ConsoleRenderer(colors=is_terminal)
