"""Whether a process that runs beside this command is well: ``python -m intertie_chassis.probe PROCESS [--live]``.

For the health checks of containers, which have the process's own environment: from it the address and the certificates.
Exit code 0 when the process is ready, or with ``--live`` when it answers at all; 1 otherwise, with a line that says so.
"""

import argparse
import sys

from intertie_chassis import program, readiness
from intertie_chassis.errors import StartupError
from intertie_chassis.listening import reached_at
from intertie_chassis.settings import Settings
from intertie_chassis.tls_files import TlsFiles

PROCESSES = ("registry", "ingest", "mapper", "audit", "pull", "gateway")


def main(arguments: list[str] | None = None) -> int:
    """Asks once, for two seconds at most, and gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m intertie_chassis.probe")
    parser.add_argument("process", help=f"{', '.join(PROCESSES)}, or the module that runs it")
    parser.add_argument("--live", action="store_true", help="content with any answer: it runs, whatever it waits for")
    options = parser.parse_args(arguments)
    name = process_of(options.process)
    if not name:
        parser.error(f"{options.process} is none of {', '.join(PROCESSES)}")
    try:
        settings = Settings.load()
        address = reached_at(getattr(settings, f"{name}_listen"))
        is_well = program.run(_ask(name, address, TlsFiles.of(settings, name), is_live=options.live))
    except StartupError as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
        return program.EXIT_CONFIG
    if not is_well:
        print(f"{name} at {address} {'does not answer' if options.live else 'is not ready'}", file=sys.stderr)  # noqa: T201
    return 0 if is_well else 1


def process_of(module: str) -> str:
    """The process of this name, or that ``python -m module`` runs: ``pull`` for ``intertie_ingest.pull``; or empty."""
    name = module.removeprefix("intertie_").rpartition(".")[-1]
    return name if name in PROCESSES else ""


async def _ask(name: str, address: str, tls: TlsFiles | None, *, is_live: bool) -> bool:
    if name == "gateway":
        return await readiness.http(address, "/healthz" if is_live else "/readyz")
    return await (readiness.service_answers if is_live else readiness.service)(address, name, tls)


if __name__ == "__main__":
    sys.exit(main())
