"""What every process of a server does, with tables or without: reads its settings, serves, and says why it cannot.

A fault of the configuration or the database is one line on standard error that says what to do, and an exit code: 2
wrong usage, 69 the database is away, 78 the configuration or the schema needs a person. A stack trace is for bugs only.
"""

import argparse
import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from intertie_chassis import logs
from intertie_chassis.errors import IntertieError, StartupError, Unavailable
from intertie_chassis.settings import Settings

S = TypeVar("S", bound=Settings)
T = TypeVar("T")

EXIT_UNAVAILABLE = 69
EXIT_CONFIG = 78

_YOUNG_OBJECTS = 10_000


def main(
    name: str, serve: Callable[[S], Awaitable[None]], settings_type: type[S], arguments: list[str] | None = None
) -> int:
    """Serves until told to stop, for a process without tables; gives its exit code. See `command` for the others.

    Args:
        name: also the name in the logs.
        serve: builds the server and runs it until told to stop.
        arguments: instead of the command line.
    """
    parser = argparse.ArgumentParser(prog=f"python -m intertie_{name}")
    parser.add_subparsers(dest="verb", metavar="verb").add_parser("serve", help="answer calls (the default)")
    parser.parse_args(arguments)

    def work() -> int:
        settings = begin(name, settings_type)
        spare_what_stays()
        run(serve(settings))
        return 0

    return exit_code(name, work)


def begin(name: str, settings_type: type[S]) -> S:
    """The settings, with the logs set up as they say. Raises StartupError."""
    settings = settings_type.load()
    logs.configure(name, settings.log_format, settings.log_level)
    return settings


def exit_code(name: str, work: Callable[[], int]) -> int:
    """What the work gives, or the code of what kept it from its end, said in a line on standard error."""
    try:
        return work()
    except (StartupError, IntertieError) as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_UNAVAILABLE if isinstance(error, Unavailable) else EXIT_CONFIG
    except KeyboardInterrupt:
        return 130


def run(work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
    """Runs on uvloop where it is installed."""

    async def whole() -> T:
        return await work

    try:
        import uvloop
    except ImportError:
        return asyncio.run(whole())
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(whole())


def spare_what_stays() -> None:
    """Keeps the collector of garbage from looking, again and again, at what was made while the process started and
    lives as long as it does: looking through all of it stops the process for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    # A request makes some hundred objects that count, and hardly a cycle: looked at every few requests, not at each.
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
