"""The `intertie` command: one noun a group, one verb a command."""

from importlib.metadata import version

import typer

from intertie_cli import (
    apply,
    audit,
    certs,
    checkpoints,
    connection_trials,
    connections,
    db,
    deliveries,
    envoy,
    grants,
    keys,
    log,
    mappings,
    queries,
    records,
    replays,
    secret_rotation,
    secrets,
    syncs,
    systems,
    tokens,
    up,
)
from intertie_cli.session import Session
from intertie_cli.verbs import verb

app = typer.Typer(
    name="intertie",
    help="Runs Intertie on this machine, and speaks to its services.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
verb(app, "up")(up.run_suite)
verb(app, "envoy")(envoy.configure)
apply.add_to(app)
connection_trials.add_to(connections.app)
audit.add_to(log.app)
secret_rotation.add_to(connections.app)
replays.add_to(records.app)


@verb(app, "version")
async def show_version(session: Session) -> None:
    """Print the version."""
    session.printer.line(version("intertie-cli"))


for noun in (
    systems.app,
    connections.app,
    mappings.app,
    grants.app,
    deliveries.app,
    deliveries.rejections_app,
    records.app,
    records.cache_app,
    queries.app,
    syncs.app,
    checkpoints.app,
    log.app,
    tokens.app,
    keys.app,
    secrets.app,
    certs.app,
    db.app,
):
    app.add_typer(noun)


def main() -> None:
    """Runs the command line; ends the process with 0, 1 (it failed) or 2 (it cannot be run like this)."""
    app()
