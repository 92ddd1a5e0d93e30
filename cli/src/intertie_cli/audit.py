"""`intertie audit`, the part that proves: verify the chain, export with proof, check an export, show what is signed."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from intertie.audit.v1 import audit_pb2
from intertie_chassis.chain_signatures import ChainPublicKeys
from intertie_chassis.errors import FailedPrecondition
from intertie_cli import audit_kept, cells, options
from intertie_cli.audit_check import Checked, Finding, check
from intertie_cli.audit_export import Broken, Exporter
from intertie_cli.audit_lines import Form
from intertie_cli.audit_progress import progress
from intertie_cli.audit_proof import Proof, path_beside
from intertie_cli.documents import json_of
from intertie_cli.options import Limit, System
from intertie_cli.output import Column
from intertie_cli.pages import collect
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import verb

_MOST_FINDINGS = 1000
_CHECKPOINTS: list[Column] = [
    ("sequence", lambda checkpoint: str(checkpoint.sequence)),
    ("when", lambda checkpoint: cells.moment(checkpoint.created_at)),
    ("head", lambda checkpoint: checkpoint.head),
    ("key", lambda checkpoint: checkpoint.key_id),
]
_FINDINGS = ["what", "sequence", "entry", "meaning"]
_FILE_FINDINGS = ["what", "line", "sequence", "entry", "meaning"]

First = Annotated[int, typer.Option("--from", min=1, max=options.MOST_ROW, help="First place in the chain.")]
Last = Annotated[int, typer.Option("--to", min=0, max=options.MOST_ROW, help="Last place in the chain; 0: its end.")]
Keys = Annotated[
    Path | None, typer.Option("--keys", help="The public keys, as `intertie audit keys` printed them once.")
]


async def verify_chain(
    session: Session,
    first: First = 1,
    last: Last = 0,
    anchor: Annotated[
        Path | None, typer.Option("--anchor", help="Compare with the checkpoints that were kept in this file.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Check this export instead; asks no service.")] = None,
    keys: Keys = None,
) -> int:
    """Recompute the chain over the log, and compare it with what was signed. Exit code 1 when anything was found."""
    if file is not None:
        return await check_export(session, file, keys)
    if last and first > last:
        raise UsageError("--from must not be greater than --to")
    request = audit_pb2.VerifyChainRequest(
        from_sequence=first if first > 1 else 0, to_sequence=last, most_findings=_MOST_FINDINGS
    )
    findings: list[audit_pb2.ChainFinding] = []
    if anchor is not None:
        kept, unreadable = audit_kept.checkpoints(anchor, first, last)
        request.kept_checkpoints.extend(kept)
        for number in unreadable:
            message = f"line {number} of {anchor} holds no checkpoint"
            findings.append(audit_pb2.ChainFinding(kind="CHECKPOINT_ALTERED", message=message))
    verdict = audit_pb2.ChainVerdict()
    with progress(session.printer, "links verified") as show:
        async for answer in session.audit.VerifyChain(request):
            findings += answer.findings
            show(answer.verified, answer.total)
            if answer.HasField("verdict"):
                verdict = answer.verdict
            verified = answer.verified
    verdict.findings = max(verdict.findings, len(findings))
    verdict.is_intact = verdict.is_intact and not findings
    _tell_verdict(session, verdict, findings, verified)
    return 0 if verdict.is_intact else 1


def _tell_verdict(
    session: Session, verdict: audit_pb2.ChainVerdict, findings: list[audit_pb2.ChainFinding], verified: int
) -> None:
    printer = session.printer
    if printer.is_json:
        printer.json(
            {"verified": verified, "verdict": json_of(verdict), "findings": [json_of(each) for each in findings]}
        )
        return
    if findings:
        printer.rows(
            _FINDINGS, ([each.kind, _places(each), cells.number(each.entry_id), each.message] for each in findings)
        )
    told = "intact" if verdict.is_intact else f"NOT INTACT, {verdict.findings:,} findings"
    rate = f"{verified / verdict.seconds:,.0f} a second" if verdict.seconds else "at once"
    printer.line(f"{told}: {verified:,} links verified ({rate})")
    if verdict.sequence:
        printer.line(f"head at {verdict.sequence}: {verdict.head}")
    if verdict.HasField("checkpoint"):
        when = cells.moment(verdict.checkpoint.created_at)
        printer.line(f"signed up to {verdict.checkpoint.sequence}, {when} UTC, with key {verdict.checkpoint.key_id}")
    if verdict.unsealed:
        printer.line(f"{verdict.unsealed:,} entries wait to be sealed")


def _places(finding: audit_pb2.ChainFinding) -> str:
    first, last = finding.sequence, finding.last_sequence
    return f"{first}-{last}" if last > first else cells.number(first)


async def export_entries(
    session: Session,
    file: Annotated[Path, typer.Option("--file", "-o", help="Where to; its proof goes to FILE.proof.json.")],
    form: Annotated[Form, typer.Option("--format", help="How the file is written.")] = Form.JSONL,
    system: System = "",
    module: Annotated[str, typer.Option("--module", help="Asked for by this module.")] = "",
    status: Annotated[str, typer.Option("--status", help="success, error or timeout.")] = "",
    type: Annotated[str, typer.Option("--type", help="webhook, mapping, configuration, access, select, …")] = "",
    since: Annotated[str, typer.Option("--since", help="Happened at or after: a time, or an age such as 2h.")] = "",
    until: Annotated[str, typer.Option("--until", help="Happened before: a time, or an age.")] = "",
    first: First = 1,
    last: Last = 0,
    spreadsheet_safe: Annotated[
        bool,
        typer.Option("--spreadsheet-safe", help="In CSV, disarm what looks like a formula; there is no proof then."),
    ] = False,
) -> None:
    """Write entries, in the order of the chain, to a file, and what proves them beside it."""
    if spreadsheet_safe and form is not Form.CSV:
        raise UsageError("--spreadsheet-safe is for --format csv")
    request = audit_pb2.ExportEntriesRequest(
        system=system,
        module=module,
        status=status,
        query_type=type,
        created_after=options.moment(since, "--since"),
        created_before=options.moment(until, "--until"),
        from_sequence=first if first > 1 else 0,
        to_sequence=last,
    )
    filters = {"system": system, "module": module, "status": status, "type": type, "since": since, "until": until}
    given = {name: value for name, value in filters.items() if value}
    known = await session.audit.ListChainCheckpoints(audit_pb2.ListChainCheckpointsRequest(page_size=1))
    exporter = Exporter(file, form, given, last, known.keys, is_safe=spreadsheet_safe)
    try:
        with progress(session.printer, "entries of the chain read") as show:
            await exporter.take(session.audit.ExportEntries(request), show)
        exporter.finish()
    except Broken as error:
        raise FailedPrecondition(str(error), reason="CHAIN_BROKEN") from None
    finally:
        exporter.abandon()
    _tell_export(session, file, exporter, spreadsheet_safe)


def _tell_export(session: Session, file: Path, exporter: Exporter, is_safe: bool) -> None:
    printer = session.printer
    proof = None if is_safe else str(path_beside(file))
    if printer.is_json:
        document: dict[str, Any] = {"file": str(file), "proof": proof, "lines": exporter.lines}
        printer.json({**document, "withheld": exporter.withheld, "signed": exporter.signed})
        return
    printer.line(
        f"{exporter.lines:,} entries in {file}" + (f", their proof in {proof}" if proof else ", without proof")
    )
    if exporter.withheld:
        printer.note(f"{exporter.withheld:,} of them without a payload: it has expired, or is too large")
    if exporter.altered:
        printer.note(f"{len(exporter.altered):,} have payloads that are not what was sealed: `intertie audit verify`")
    if exporter.signed is None and proof:
        printer.note("nothing is signed yet that covers them, so the proof is not complete: export them again later")


async def check_export(
    session: Session,
    file: Annotated[Path, typer.Argument(help="The file; its proof stands beside it.")],
    keys: Keys = None,
) -> int:
    """Check an export with its proof and the public keys alone. Exit code 1 when anything was found."""
    beside = path_beside(file)
    if not file.is_file():
        raise UsageError(f"{file} is not a file")
    try:
        proof = Proof.read(beside)
    except OSError as error:
        raise UsageError(f"{beside} cannot be read ({error.strerror})") from None
    except ValueError as error:
        message = f"{beside} is not the proof of an export: {error}"
        return _tell_checked(session, file, Checked([Finding("PROOF_ALTERED", message)]), None)
    try:
        known = audit_kept.public_keys(keys) if keys is not None else ChainPublicKeys(proof.keys)
    except ValueError:
        message = "the public keys in the proof cannot be read"
        return _tell_checked(session, file, Checked([Finding("PROOF_ALTERED", message)]), proof)
    if keys is None:
        session.printer.note(
            "the public keys are the proof's own: whoever made the file may have made them, too; give --keys with "
            "those that you have kept"
        )
    with progress(session.printer, "lines checked") as show:
        checked = check(file, proof, known, show)
    return _tell_checked(session, file, checked, proof)


def _tell_checked(session: Session, file: Path, checked: Checked, proof: Proof | None) -> int:
    printer, found = session.printer, checked.findings
    signed = proof.checkpoint if proof is not None else None
    if printer.is_json:
        document: dict[str, Any] = {"file": str(file), "is_intact": not found, "lines": checked.lines}
        document |= {"withheld": checked.withheld, "filters": proof.filters if proof else {}}
        document |= {"signed": signed.sequence if signed else None, "findings": [asdict(each) for each in found]}
        printer.json(document)
        return 1 if found else 0
    if found:
        shown = found[:_MOST_FINDINGS]
        rows = (
            [e.kind, cells.number(e.line), cells.number(e.sequence), cells.number(e.entry_id), e.message] for e in shown
        )
        printer.rows(_FILE_FINDINGS, rows)
        printer.line(f"NOT INTACT, {len(found):,} findings: {file}")
        return 1
    printer.line(f"intact: {checked.lines:,} lines of {file} are what was sealed")
    if signed is not None:
        printer.line(
            f"signed at place {signed.sequence}, {signed.created_at:%Y-%m-%d %H:%M:%S} UTC, with key {signed.key_id}"
        )
    if checked.withheld:
        printer.line(f"{checked.withheld:,} of them without a payload: it had expired, or was too large")
    if proof is not None and proof.filters:
        printer.line(f"chosen by {json.dumps(proof.filters, ensure_ascii=False)}: what was left out is not proven")
    return 0


async def list_checkpoints(session: Session, limit: Limit = 50) -> None:
    """List the signed checkpoints of the chain, the newest first."""
    request = audit_pb2.ListChainCheckpointsRequest()
    found = await collect(session.audit.ListChainCheckpoints, request, "checkpoints", limit)
    session.printer.items(found, _CHECKPOINTS, none="Nothing is signed yet.")


async def show_keys(session: Session) -> None:
    """Print the public keys that verify checkpoints, a JSON Web Key Set: keep them where nobody else writes."""
    known = await session.audit.ListChainCheckpoints(audit_pb2.ListChainCheckpointsRequest(page_size=1))
    session.printer.json(json.loads(known.keys))


def add_to(app: typer.Typer) -> None:
    """Makes them verbs of the noun `audit`."""
    verb(app, "verify")(verify_chain)
    verb(app, "export", takes_file=True)(export_entries)
    verb(app, "check")(check_export)
    verb(app, "checkpoints")(list_checkpoints)
    verb(app, "keys")(show_keys)
