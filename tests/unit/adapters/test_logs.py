"""Logs: one JSON object per line, nothing below the level, no secret by a slip, and files that may be rotated away."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from icn.adapters.logs import HIDDEN, configure_logging


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_one_json_object_per_line(tmp_path: Path) -> None:
    path = tmp_path / "icn.log"
    configure_logging("info", "json", path)
    log = structlog.get_logger("icn.test")
    log.debug("not this")
    log.info("started\nhere", did="did:key:x", answer=42)
    (line,) = lines(path)
    assert (line["event"], line["level"], line["did"], line["answer"]) == ("started\nhere", "info", "did:key:x", 42)
    assert str(line["timestamp"]).endswith("Z")


def test_secrets_are_hidden_by_name(tmp_path: Path) -> None:
    path = tmp_path / "icn.log"
    configure_logging("info", "json", path)
    structlog.get_logger().info("x", api_key="s3cret", passphrase="s3cret", key_path="/etc/icn/key", monkey="banana")
    (line,) = lines(path)
    assert (line["api_key"], line["passphrase"]) == (HIDDEN, HIDDEN)
    assert (line["key_path"], line["monkey"]) == ("/etc/icn/key", "banana")


def test_a_rotated_file_is_followed_by_name(tmp_path: Path) -> None:
    path = tmp_path / "icn.log"
    configure_logging("info", "json", path)
    log = structlog.get_logger()
    log.info("before")
    path.rename(tmp_path / "icn.log.1")
    log.info("after")
    assert [line["event"] for line in lines(path)] == ["after"]


def test_a_cause_is_logged_with_its_fault(tmp_path: Path) -> None:
    path = tmp_path / "icn.log"
    configure_logging("warning", "json", path)
    structlog.get_logger().error("fault", exc_info=KeyError("the cause"))
    (line,) = lines(path)
    assert "the cause" in str(line["exception"])


def test_text_for_people_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text", None)
    structlog.get_logger().info("listening", http="127.0.0.1:7845")
    said = capsys.readouterr()
    assert "listening" in said.err
    assert "127.0.0.1:7845" in said.err
    assert said.out == ""


def test_libraries_log_through_the_same_sink(tmp_path: Path) -> None:
    path = tmp_path / "icn.log"
    configure_logging("info", "json", path)
    logging.getLogger("uvicorn.error").warning("from a %s", "library")
    logging.getLogger("uvicorn.error").info("chatter")
    (line,) = lines(path)
    assert (line["event"], line["level"]) == ("from a library", "warning")
