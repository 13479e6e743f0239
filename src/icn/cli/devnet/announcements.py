"""What a node says of itself in its log: where it listens, who it is, that it is ready. For whoever starts nodes."""

import json
from pathlib import Path

LAST_LINES = 15
LOG_BYTES_MAX = 64 * 1024 * 1024
"""Of one run that are looked at; a log that is longer has said long ago what is looked for."""


class Announced:
    """Gathered line by line."""

    def __init__(self) -> None:
        self.http = ""
        self.did = ""
        self.p2p = ""
        self.is_ready = False
        self.has_stopped = False
        """It said goodbye: it was asked to stop, and nothing went wrong."""

    def hear(self, line: str) -> None:
        """Take the next line; what is no announcement is passed over."""
        try:
            said = json.loads(line)
        except ValueError:
            return
        if not isinstance(said, dict):
            return
        match said.get("event"):
            case "listening" if "http" in said:
                self.http, self.did = str(said["http"]), str(said.get("did", ""))
            case "listening" if "p2p" in said:
                self.p2p = str(said["p2p"])
            case "ready":
                self.is_ready = True
            case "stopped":
                self.has_stopped = True


class NodeLog:
    """One run of a node, read from its log as it grows."""

    def __init__(self, path: Path, begins: int | None = None) -> None:
        """`begins`: where in the log the run does; by default at its present end, for a node that is started next."""
        self._path = path
        self.begins = (path.stat().st_size if path.exists() else 0) if begins is None else begins
        self._read = self.begins
        self._rest = b""
        self.announced = Announced()

    def look(self) -> Announced:
        """Read what is new."""
        if self._path.exists() and self._read - self.begins < LOG_BYTES_MAX:
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read(LOG_BYTES_MAX)
            self._read += len(new)
            *lines, self._rest = (self._rest + new).split(b"\n")
            for line in lines:
                self.announced.hear(line.decode(errors="replace"))
        return self.announced

    def last_words(self) -> str:
        """The end of what this run said."""
        if not self._path.exists():
            return ""
        with self._path.open("rb") as file:
            file.seek(self.begins)
            said = file.read(LOG_BYTES_MAX).decode(errors="replace")
        return "\n".join(said.splitlines()[-LAST_LINES:])
