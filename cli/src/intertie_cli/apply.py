"""`intertie apply`, `export` and `schema`: the configuration in files that are kept in git."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from intertie_chassis.errors import IntertieError
from intertie_cli import problems
from intertie_cli.declared import checking, export, live, loaded, plan_text, schema
from intertie_cli.declared.application import Application
from intertie_cli.declared.nodes import Problem, in_order
from intertie_cli.declared.pairs import paired
from intertie_cli.declared.plan import Change, Plan, Prune, Pruning, concerned, made, second_verifiers
from intertie_cli.options import Yes, confirm
from intertie_cli.problems import UsageError
from intertie_cli.secret_rotation import MOST_HOURS
from intertie_cli.session import Session
from intertie_cli.verbs import verb

CHANGES_EXIT_CODE = 3

Files = Annotated[
    list[str],
    typer.Option("--file", "-f", help="A file, a directory, or - for standard input; may be repeated."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
ExitCode = Annotated[
    bool,
    typer.Option("--exit-code", help=f"With --dry-run: exit with {CHANGES_EXIT_CODE} when there is something to do."),
]
DoPrune = Annotated[
    bool, typer.Option("--prune", help="Switch off what the systems in the files have and the files do not.")
]
PruneSystems = Annotated[
    bool, typer.Option("--prune-systems", help="With --prune: systems that are not in the files, too.")
]
Delete = Annotated[bool, typer.Option("--delete", help="With --prune: delete instead of switching off.")]
KeepSecrets = Annotated[
    bool, typer.Option("--keep-secrets", help="Leave all credentials as they are, and need no variables for them.")
]
Overlap = Annotated[
    float,
    typer.Option("--overlap", min=0, max=MOST_HOURS, help="Hours for which a replaced webhook_secret is good."),
]
SkipTarget = Annotated[
    bool, typer.Option("--skip-target-validation", help="Do not ask mapper whether mappings fit their targets.")
]
Systems = Annotated[list[str] | None, typer.Option("--system", help="Only this system; may be repeated.")]
WithoutSecrets = Annotated[bool, typer.Option("--without-secrets", help="Leave credentials out.")]
SchemaPath = Annotated[str, typer.Option("--schema", help="Where editors find the schema; empty: no word of it.")]
ToFile = Annotated[Path | None, typer.Option("-o", help="Write a file; default: standard output.")]


async def apply_files(
    session: Session,
    files: Files,
    dry_run: DryRun = False,
    exit_code: ExitCode = False,
    prune: DoPrune = False,
    prune_systems: PruneSystems = False,
    delete: Delete = False,
    keep_secrets: KeepSecrets = False,
    overlap: Overlap = 0,
    skip_target_validation: SkipTarget = False,
    yes: Yes = False,
) -> int:
    """Make systems, connections, mappings and grants what files say; nothing is done when any file is wrong."""
    if (prune_systems or delete) and not prune:
        raise UsageError("--prune-systems and --delete say how to --prune")
    if exit_code and not dry_run:
        raise UsageError("--exit-code is for --dry-run")
    declared, wrong, remarks = loaded.read(files, os.environ, keep_secrets=keep_secrets)
    if wrong:
        return _refuse(session, wrong)
    if not declared:
        raise UsageError("the files declare nothing; nothing is done, and nothing is pruned")
    state = await live.read(session.registry)
    pairs, wrong = paired(declared, state)
    how = Prune.NOTHING if not prune else Prune.DELETE if delete else Prune.DEACTIVATE
    pruning = Pruning(how, prune_systems)
    asked = concerned(pairs, made(pairs, state, {}, pruning))
    verdict = await checking.ask(session.configuration, asked, state, skip_targets=skip_target_validation)
    plan = made(pairs, state, verdict.compared, pruning)
    wrong = [*wrong, *verdict.problems, *second_verifiers(pairs, state, plan)]
    if wrong:
        return _refuse(session, wrong)
    for remark in remarks:
        session.printer.note(f"remark: {remark}")
    if not verdict.is_known:
        session.printer.note("registry is of an older version: what it would refuse shows only when it is applied")
    plan_text.show(session.printer, plan, is_done=False if dry_run else None)
    if dry_run or not plan.changes:
        return CHANGES_EXIT_CODE if exit_code and plan.changes else 0
    if losses := [change for change in plan.changes if change.is_loss]:
        confirm(f"{plan_text.losses(losses)}?", yes)
    return await _apply(session, plan, state, skip_target_validation, overlap)


async def export_configuration(
    session: Session,
    system: Systems = None,
    without_secrets: WithoutSecrets = False,
    schema: SchemaPath = "integrations.schema.json",
    file: ToFile = None,
) -> None:
    """Print what registry holds as a file for `intertie apply`; the variables that it needs go to standard error."""
    state = await live.read(session.registry)
    unknown = sorted(set(system or ()) - {part.key[0] for part in state.of("system")})
    if unknown:
        raise UsageError(f"there is no system {', '.join(unknown)}; `intertie systems list` shows those there are")
    exported = export.export(state, set(system or ()), with_secrets=not without_secrets, schema=schema)
    if file is None:
        session.printer.text(exported.text)
    else:
        _write(file, exported.text)
    for remark in exported.remarks:
        session.printer.note(f"remark: {remark}")
    if exported.variables:
        session.printer.note("Set these variables before the file is applied, or take their lines out to leave as is:")
        for name, meaning in exported.variables.items():
            session.printer.note(f"  {name}  {meaning}")


async def show_schema(session: Session) -> None:
    """Print the JSON Schema of the files, for editors."""
    session.printer.text(schema.text())


async def _apply(session: Session, plan: Plan, state: live.State, skip_targets: bool, overlap: float) -> int:
    def done(change: Change) -> None:
        if not session.printer.is_json:
            session.printer.line(f"{plan_text.DONE[change.action]} {change.title}")

    application = Application(
        session.registry,
        state,
        skip_targets=skip_targets,
        keep_secrets_until=datetime.now(UTC) + timedelta(hours=overlap) if overlap else None,
        on_done=done,
    )
    try:
        await application.run(plan)
    except IntertieError as error:
        done_count, total = len(application.done), len(plan.changes)
        failed, left = plan.changes[done_count], plan.changes[done_count + 1 :]
        session.printer.note(problems.told(error, session))
        session.printer.note(
            f"To {failed.action} {failed.title} failed; {done_count} of {total} changes are done and stay. "
            "Apply again to go on from there."
        )
        for change in left:
            session.printer.note(f"  not done: {change.action} {change.title}")
        return 1
    if session.printer.is_json:
        plan_text.show(session.printer, plan, is_done=True)
    return 0


def _refuse(session: Session, wrong: list[Problem]) -> int:
    found = in_order(wrong)
    for problem in found:
        session.printer.note(str(problem))
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    session.printer.note(f"intertie: {count}; nothing was done")
    return 1


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"-o: {file} cannot be written ({error.strerror})") from None


def add_to(app: typer.Typer) -> None:
    """Makes them verbs of the command itself."""
    verb(app, "apply")(apply_files)
    verb(app, "export", takes_file=True)(export_configuration)
    verb(app, "schema")(show_schema)
