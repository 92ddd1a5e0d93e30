"""How a command is written: an async function that takes a session; `--output`, `--json`, `--data-dir` come along."""

import asyncio
import functools
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from intertie_chassis.errors import IntertieError, StartupError
from intertie_cli.output import Format, Printer
from intertie_cli.problems import UsageError, told
from intertie_cli.session import Session
from intertie_cli.settings import CliSettings

P = ParamSpec("P")
Work = Callable[Concatenate[Session, P], Awaitable[int | None]]

Output = Annotated[Format, typer.Option("--output", "-o", help="How to print the answer.")]
AsJson = Annotated[bool, typer.Option("--json", help="The same as --output json.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Directory of keys, tokens and embedded databases; else INTERTIE_DATA_DIR."),
]
_ADDED = (
    inspect.Parameter("output", inspect.Parameter.KEYWORD_ONLY, default=Format.TABLE, annotation=Output),
    inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson),
    inspect.Parameter("data_dir", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=DataDir),
)
_OUTPUT_WITHOUT_LETTER = _ADDED[0].replace(
    annotation=Annotated[Format, typer.Option("--output", help="How to print the answer.")]
)


def group(name: str, help: str) -> typer.Typer:
    """A noun, to which verbs are added."""
    return typer.Typer(name=name, help=help, no_args_is_help=True)


def verb(app: typer.Typer, name: str, *, takes_file: bool = False) -> Callable[[Work[P]], Work[P]]:
    """Makes an async function a command of `app`; its docstring is the help, its result the exit code (None: 0).

    `takes_file`: -o is the command's own, for the file that it writes.
    """
    added = (_OUTPUT_WITHOUT_LETTER, *_ADDED[1:]) if takes_file else _ADDED

    def decorate(work: Work[P]) -> Work[P]:
        signature = inspect.signature(work)
        _, *own = signature.parameters.values()

        @functools.wraps(work)
        def command(*, output: Format, as_json: bool, data_dir: Path | None, **arguments: Any) -> None:
            raise typer.Exit(run(functools.partial(work, **arguments), Format.JSON if as_json else output, data_dir))

        keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        # typer reads the command's options off its signature, which is the function's without the session.
        command.__signature__ = inspect.Signature([*keyword_only, *added])  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in (*own, *added)}
        app.command(name)(command)
        return work

    return decorate


def run(work: Callable[[Session], Awaitable[int | None]], output: Format, data_dir: Path | None) -> int:
    """Runs the work in a session and gives the exit code; a failure is told on standard error."""
    printer = Printer(output)
    session: Session | None = None
    try:
        settings = CliSettings.load()
        if data_dir is not None:
            settings = settings.model_copy(update={"data_dir": data_dir})
        session = Session(settings, printer)
        code = asyncio.run(_run(work, session)) or 0
        sys.stdout.flush()
        return code
    except (IntertieError, StartupError, UsageError) as error:
        printer.note(told(error, session))
        return 2 if isinstance(error, UsageError) else 1
    except UnicodeEncodeError:
        printer.note("intertie: an argument is not UTF-8 text")
        return 2
    except BrokenPipeError:
        # Whoever read the output has enough (`| head`). The interpreter's own flush at the end must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


async def _run(work: Callable[[Session], Awaitable[int | None]], session: Session) -> int | None:
    try:
        return await work(session)
    finally:
        await session.close()
