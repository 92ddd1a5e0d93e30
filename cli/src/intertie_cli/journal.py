"""What `intertie up` shows while it runs: the lines of its processes and its own, prefixed and coloured, or as JSON."""

import contextlib
import json
import sys
from datetime import UTC, datetime

from intertie_chassis.settings import Settings

_COLOURS = {
    "registry": 36,
    "audit": 35,
    "ingest": 32,
    "mapper": 33,
    "pull": 94,
    "demo": 90,
    "gateway": 34,
    "intertie": 1,
}
_LEVELS = {"info": 0, "warning": 33, "error": 31}
_WIDTH = 8


class Journal:
    """Writes lines to standard error, whole and in the order of their coming."""

    def __init__(self, *, as_json: bool, coloured: bool) -> None:
        self.as_json = as_json
        self._coloured = coloured

    @classmethod
    def of(cls, settings: Settings) -> "Journal":
        """As INTERTIE_LOG_FORMAT says; `auto` means for a person exactly when one is at the terminal."""
        is_terminal = sys.stderr.isatty()
        as_json = settings.log_format == "json" or (settings.log_format == "auto" and not is_terminal)
        return cls(as_json=as_json, coloured=is_terminal or settings.log_format == "console")

    @property
    def format(self) -> str:
        """The log format that the processes must use: what they write to is never a terminal."""
        return "json" if self.as_json else "console"

    def say(self, text: str, level: str = "info") -> None:
        """A line of the supervisor's own."""
        if self.as_json:
            self._write(_json("intertie", level, text))
        else:
            colour = _LEVELS[level]
            self._write(self._prefixed("intertie", f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text))

    def pass_on(self, name: str, line: str) -> None:
        """A line that a process wrote. JSON names its writer itself; what is no JSON (a usage message) becomes some."""
        if not self.as_json:
            self._write(self._prefixed(name, line))
        elif line.startswith("{"):
            self._write(line)
        else:
            self._write(_json(name, "error", line))

    def _prefixed(self, name: str, line: str) -> str:
        prefix = f"{name:<{_WIDTH}} │"
        return f"\x1b[{_COLOURS.get(name, 0)}m{prefix}\x1b[0m {line}" if self._coloured else f"{prefix} {line}"

    def _write(self, line: str) -> None:
        # The terminal may be gone while processes are still to be stopped: that must go on.
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def _json(name: str, level: str, text: str) -> str:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"event": text, "service": name, "level": level, "timestamp": now}, ensure_ascii=False)
