"""The anchor: a file outside the database to which each checkpoint is appended, so that a changed database is known.

One JSON object a line: ``{"text": …, "signature": base64}``. One process writes it. It should lie where whoever can
change the database cannot: on other storage, on a volume that only grows, or copied there as it grows.
"""

import base64
import binascii
import json
import os
from collections.abc import Iterator
from pathlib import Path

from intertie_audit.chain import Checkpoint, read_checkpoint
from intertie_chassis.durable_files import append_lines

_TAIL_BYTES = 64 * 1024


class Anchor:
    """The file at a path; the methods block for the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, checkpoints: list[Checkpoint]) -> None:
        """Appends them durably. Raises OSError; then some may be there already."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        append_lines(self.path, b"".join(_line(checkpoint) for checkpoint in checkpoints))

    def newest(self) -> Checkpoint | None:
        """The last checkpoint of the file; None when it is missing or empty. Raises OSError."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                lines = file.read().splitlines()
        except FileNotFoundError:
            return None
        return next((checkpoint for line in reversed(lines) if (checkpoint := _read(line)) is not None), None)

    def checkpoints(self) -> Iterator[Checkpoint | None]:
        """All that stand in the file, in their order; None for a line that holds none. Raises OSError."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                if line.strip():
                    yield _read(line)


def _line(checkpoint: Checkpoint) -> bytes:
    document = {"text": checkpoint.text, "signature": base64.b64encode(checkpoint.signature).decode()}
    return json.dumps(document).encode() + b"\n"


def _read(line: bytes) -> Checkpoint | None:
    try:
        document = json.loads(line)
        return read_checkpoint(document["text"], base64.b64decode(document["signature"], validate=True))
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None
