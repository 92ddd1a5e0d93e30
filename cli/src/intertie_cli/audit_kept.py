"""Files that a person has kept of the chain: checkpoints, and the public keys that verify them."""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from intertie.audit.v1 import audit_pb2
from intertie_chassis.chain_format import Checkpoint, read_checkpoint
from intertie_chassis.chain_signatures import ChainPublicKeys
from intertie_cli.problems import UsageError

MOST_CHECKPOINTS = 5000
"""What one request carries. The newest covers all before it; the others tell more exactly where something is wrong."""


def checkpoints(path: Path, first: int, last: int) -> tuple[list[audit_pb2.ChainCheckpoint], list[int]]:
    """The checkpoints of a file, of places from `first` to `last` (0: any), and the numbers of lines that hold none.

    The file has a JSON object a line, as audit's anchor has it, or is what `intertie audit checkpoints --output json`
    printed. Of very many some are left out, the newest never. Raises UsageError.
    """
    found: dict[int, Checkpoint] = {}
    unreadable: list[int] = []
    for number, document in enumerate(_documents(path), 1):
        try:
            text = document.get("text") or document["signed_text"]
            checkpoint = read_checkpoint(text, base64.b64decode(document["signature"], validate=True))
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            unreadable.append(number)
            continue
        if first <= checkpoint.sequence and (not last or checkpoint.sequence <= last):
            # Of two that differ both are asked for: one of them is not what audit signed.
            found[hash((checkpoint.sequence, checkpoint.text, checkpoint.signature))] = checkpoint
    kept = sorted(found.values(), key=lambda checkpoint: checkpoint.sequence)
    step = max(1, -(-len(kept) // MOST_CHECKPOINTS))
    return [_message(checkpoint) for checkpoint in kept[::-1][::step][::-1]], unreadable


def public_keys(path: Path) -> ChainPublicKeys:
    """The keys of a file, as `intertie audit keys` prints them. Raises UsageError."""
    try:
        return ChainPublicKeys(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--keys: {path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"--keys: {path} holds no public keys of a chain ({error})") from None


def _documents(path: Path) -> list[Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--anchor: {path} cannot be read ({error.strerror})") from None
    if raw.lstrip().startswith(b"["):
        try:
            return list(json.loads(raw))
        except ValueError as error:
            raise UsageError(f"--anchor: {path} is not JSON: {error}") from None
    return [_parsed(line) for line in raw.splitlines() if line.strip()]


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _message(checkpoint: Checkpoint) -> audit_pb2.ChainCheckpoint:
    return audit_pb2.ChainCheckpoint(
        sequence=checkpoint.sequence,
        head=checkpoint.head.hex(),
        key_id=checkpoint.key_id,
        signed_text=checkpoint.text,
        signature=checkpoint.signature,
    )
