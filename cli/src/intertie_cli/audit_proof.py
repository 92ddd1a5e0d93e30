"""The proof of an audit export: what stands beside the file, so that it can be checked without the database.

One JSON document; docs/audit-exports.md describes it. It is not signed itself and need not be: its digests lead to the
head that the signed checkpoint says, or they do not.
"""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intertie_chassis.chain_format import Checkpoint, read_checkpoint
from intertie_cli.audit_lines import Form

FORMAT = "intertie audit export v1"


@dataclass(slots=True)
class Proof:
    """What a proof says."""

    form: Form
    #: SHA-256 of the file, in hex
    file_sha256: str
    #: what was chosen by, by the names of the options; without it every entry between the places is in the file
    filters: dict[str, str]
    #: the place before the first digest, and the head there
    anchor_sequence: int
    anchor_head: bytes
    #: the last place that could be chosen, as it was asked for; 0: the end
    last: int
    #: the leaf of each place behind the anchor, up to the checkpoint
    digests: list[bytes]
    #: sequence and number in the log (None of a note) of each line, in the order of the file
    lines: list[tuple[int, int | None]] = field(default_factory=list)
    #: which payloads are not in the file though they were sealed, by the index of the line
    withheld: dict[int, list[str]] = field(default_factory=dict)
    #: canonical bytes of the links of the kind `found` whose entries are in the file, by their sequence
    blocks: dict[int, bytes] = field(default_factory=dict)
    #: None: nothing was signed yet
    checkpoint: Checkpoint | None = None
    #: the public keys as they were told, a JSON Web Key Set
    keys: bytes = b""

    def write(self, path: Path) -> None:
        """Writes it as JSON."""
        document = {
            "format": FORMAT,
            "file": {"format": self.form.value, "sha256": self.file_sha256},
            "filters": self.filters,
            "anchor": {"sequence": self.anchor_sequence, "head": self.anchor_head.hex()},
            "last": self.last,
            "checkpoint": None
            if self.checkpoint is None
            else {"text": self.checkpoint.text, "signature": base64.b64encode(self.checkpoint.signature).decode()},
            "keys": json.loads(self.keys or b"null"),
            "blocks": {str(place): base64.b64encode(raw).decode() for place, raw in self.blocks.items()},
            "withheld": {str(index): names for index, names in self.withheld.items()},
            "lines": self.lines,
            "digests": [digest.hex() for digest in self.digests],
        }
        path.write_text(json.dumps(document, separators=(",", ":")) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Proof":
        """Raises ValueError when the file is no proof, OSError."""
        try:
            document: dict[str, Any] = json.loads(path.read_bytes())
            if document["format"] != FORMAT:
                raise ValueError("its format is not known")
            checkpoint = document["checkpoint"]
            return cls(
                form=Form(document["file"]["format"]),
                file_sha256=str(document["file"]["sha256"]),
                filters={str(name): str(value) for name, value in document["filters"].items()},
                anchor_sequence=int(document["anchor"]["sequence"]),
                anchor_head=bytes.fromhex(document["anchor"]["head"]),
                last=int(document["last"]),
                digests=[bytes.fromhex(digest) for digest in document["digests"]],
                lines=[(int(place), None if number is None else int(number)) for place, number in document["lines"]],
                withheld={int(index): [str(name) for name in names] for index, names in document["withheld"].items()},
                blocks={int(place): base64.b64decode(raw) for place, raw in document["blocks"].items()},
                checkpoint=checkpoint
                and read_checkpoint(checkpoint["text"], base64.b64decode(checkpoint["signature"])),
                keys=json.dumps(document["keys"]).encode(),
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("it has not the members of a proof") from error


def path_beside(file: Path) -> Path:
    """Where the proof of a file stands."""
    return file.with_name(f"{file.name}.proof.json")
