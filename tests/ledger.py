"""What the clients of a fault test sent and were answered: one line an attempt, on disk before the client goes on.

It lies outside of all that a test breaks, and is what the databases are held against afterwards (`fault_checker`).
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Self

Outcome = Literal["ok", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request and what came of it."""

    key: str
    """The delivery key it was sent under."""
    sha256: str
    """Of the body, in hex."""
    entity: str
    """The external id in the body; empty where there is none that counts."""
    version: int
    """The version of the entity in the body."""
    fits: bool
    """Whether every mapping can take it; if not, the mirror sets it aside."""
    sent_at: float
    """Seconds since 1970."""
    seconds: float
    """Until the answer came, or none could come any more."""
    outcome: Outcome
    """`ok`: a 2xx. `fail`: a 4xx, so that it must not be stored. `unknown`: anything else."""
    status: int
    """The HTTP status; 0: no answer."""
    delivery_id: str = ""
    """What the answer named it."""


class Attempts:
    """Some attempts, in the order in which they ended."""

    def __init__(self, attempts: Iterable[Attempt] = ()) -> None:
        self._attempts = list(attempts)

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._attempts)

    def acknowledged(self) -> dict[str, Attempt]:
        """By key the first attempt that was answered 2xx."""
        first: dict[str, Attempt] = {}
        for attempt in self:
            if attempt.outcome == "ok":
                first.setdefault(attempt.key, attempt)
        return first

    def possible(self) -> dict[str, Attempt]:
        """By key an attempt of which nobody knows whether it is stored, where none was acknowledged."""
        known = self.acknowledged()
        return {one.key: one for one in self if one.outcome == "unknown" and one.key not in known}


class Ledger(Attempts):
    """The attempts of one run; `with Ledger(path) as ledger:`. Any number of threads may write."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._lock = threading.Lock()
        self._file = path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, attempt: Attempt) -> None:
        """Take the attempt down; it is on disk when this returns."""
        line = json.dumps(asdict(attempt), separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._attempts.append(attempt)

    def __iter__(self) -> Iterator[Attempt]:
        """Every attempt so far, in the order in which they ended."""
        with self._lock:
            return iter(self._attempts[:])

    def as_of(self, known: int) -> Attempts:
        """The ledger when it had so many attempts: of one that was answered later nobody knew if it was stored."""
        attempts = list(self)
        later = [replace(one, outcome="unknown") if one.outcome == "ok" else one for one in attempts[known:]]
        return Attempts(attempts[:known] + later)
