"""`intertie audit check` and the verbs beside it: exit codes, what is said, and files that a person has kept."""

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from intertie.audit.v1 import audit_pb2
from intertie_chassis.chain_format import START, canonical_bytes, checkpoint_text, leaf, next_head
from intertie_chassis.chain_signatures import ChainPublicKeys
from intertie_cli import audit_kept
from intertie_cli.app import app
from intertie_cli.audit_export import Exporter
from intertie_cli.audit_lines import Form
from intertie_cli.problems import UsageError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
JWK = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": base64.urlsafe_b64encode(KEY.public_key().public_bytes_raw()).rstrip(b"=").decode(),
}
KEY_ID = next(iter(ChainPublicKeys(json.dumps({"keys": [JWK]})).ids))


def signed(place: int, head: bytes, first: bytes) -> tuple[str, bytes]:
    text = checkpoint_text(first.hex()[:32], place, head, 0, datetime(2025, 1, 21), KEY_ID)
    return text, KEY.sign(text.encode())


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """An export of one note, its proof beside it."""
    canonical = canonical_bytes([1, "expired", "2025-01-20 12:00:00.123456", "nothing"])
    head = next_head(START, leaf(canonical))
    text, signature = signed(1, head, head)

    async def answers() -> Any:
        yield audit_pb2.ExportEntriesResponse(
            anchor=audit_pb2.ChainAnchor(head=START, total=1),
            links=[audit_pb2.ChainLink(sequence=1, digest=leaf(canonical), canonical=canonical)],
            checkpoint=audit_pb2.ChainCheckpoint(signed_text=text, signature=signature),
        )

    exporter = Exporter(tmp_path / "export", Form.JSONL, {}, 0, json.dumps({"keys": [JWK]}).encode())
    await exporter.take(answers(), lambda done, total: None)
    exporter.finish()
    return tmp_path / "export"


def run(*arguments: object) -> Any:
    """A command, in this process."""
    return CliRunner().invoke(app, ["audit", *(str(each) for each in arguments)])


@pytest.mark.parametrize("verb", [("check",), ("verify", "--file")], ids=lambda verb: verb[0])
def test_a_check_ends_with_what_it_found(file: Path, tmp_path: Path, verb: tuple[str, ...]) -> None:
    """0 when it is intact, 1 when anything was found, also when the proof itself cannot be read."""
    intact = run(*verb, file)
    assert (intact.exit_code, "intact: 1 lines" in intact.stdout, "--keys" in intact.stderr) == (0, True, True)
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [JWK]}))
    assert "--keys" not in run(*verb, file, "--keys", keys).stderr
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    keys.write_text(json.dumps({"keys": [JWK | {"x": base64.urlsafe_b64encode(other).rstrip(b"=").decode()}]}))
    foreign = run(*verb, file, "--keys", keys, "--output", "json")
    assert (foreign.exit_code, [one["kind"] for one in json.loads(foreign.stdout)["findings"]]) == (1, ["KEY_UNKNOWN"])
    proof = file.with_name("export.proof.json")
    document = json.loads(proof.read_bytes())
    broken: tuple[dict[str, Any], ...] = (
        {"checkpoint": {"text": "no", "signature": ""}},
        {"keys": {"keys": [{}]}},
        {"format": "other"},
    )
    for changes in broken:
        proof.write_text(json.dumps({**document, **changes}))
        told = run(*verb, file)
        assert (told.exit_code, "PROOF_ALTERED" in told.stdout) == (1, True)
    proof.write_text(json.dumps(document))
    file.write_bytes(file.read_bytes().replace(b"nothing", b"Nothing"))
    changed = run(*verb, file)
    assert (changed.exit_code, "LINE_ALTERED" in changed.stdout, "NOT INTACT" in changed.stdout) == (1, True, True)
    proof.unlink()
    assert run(*verb, file).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "--from", "3", "--to", "2"), "--from"),
        (("verify", "--from", "0"), "--from"),
        (("export", "-o", "x", "--spreadsheet-safe"), "--format csv"),
        (("export",), "--file"),
        (("export", "-o", "x", "--since", "soon"), "--since"),
        (("verify", "--anchor", "none"), "none cannot be read"),
        (("check", "none"), "none is not a file"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_run_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    """Before any service is asked; nothing is written."""
    monkeypatch.chdir(tmp_path)
    ran = run(*arguments)
    assert (ran.exit_code, said in ran.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_kept_checkpoints_are_read_in_both_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of an anchor, or what `checkpoints` printed; of many the newest stays, and unreadable ones are told."""
    made = [signed(place, bytes([place] * 32), bytes(32)) for place in range(1, 12)]
    coded = [(text, base64.b64encode(signature).decode()) for text, signature in made]
    anchor = tmp_path / "anchor"
    lines = [json.dumps({"text": text, "signature": signature}) for text, signature in coded]
    anchor.write_text("\n".join([*lines[:2], '{"text": "half', *lines[2:], ""]))
    kept, unreadable = audit_kept.checkpoints(anchor, 1, 0)
    assert ([one.sequence for one in kept], unreadable) == (list(range(1, 12)), [3])
    assert [one.sequence for one in audit_kept.checkpoints(anchor, 3, 5)[0]] == [3, 4, 5]
    anchor.write_text(json.dumps([{"signed_text": text, "signature": signature} for text, signature in coded]))
    assert audit_kept.checkpoints(anchor, 1, 0) == (kept, [])
    monkeypatch.setattr(audit_kept, "MOST_CHECKPOINTS", 4)
    assert [one.sequence for one in audit_kept.checkpoints(anchor, 1, 0)[0]] == [2, 5, 8, 11]
    anchor.write_text("[1")
    with pytest.raises(UsageError, match="not JSON"):
        audit_kept.checkpoints(anchor, 1, 0)
