"""The owners' own verbs (`python -m intertie_registry migrate`, …), run one after another and told together."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intertie_chassis.errors import StartupError, Unavailable

OWNERS = ("registry", "ingest", "mapper", "audit")

_UNAVAILABLE = 69
_STATE_MEANING = {
    "current": "fits this version",
    "empty": "no tables yet: `intertie db migrate` makes them",
    "behind": "older than this version: `intertie db migrate` brings it up",
    "ahead": "newer than this version, which goes on working",
    "foreign": "holds tables that Intertie did not make: `intertie db adopt` takes them over",
}


@dataclass(frozen=True, slots=True)
class State:
    """How an owner's tables stand to the code."""

    owner: str
    dialect: str
    current: str
    head: str
    state: str
    #: what the operator should know, each in one line
    warnings: tuple[str, ...] = ()

    @property
    def meaning(self) -> str:
        """What the state means and what to do."""
        return _STATE_MEANING[self.state]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verb said."""

    code: int
    output: str
    problem: str

    def raise_for_code(self) -> None:
        """Raises Unavailable when the database is away, StartupError for any other failure, with what was said."""
        if self.code == 0:
            return
        told = _last_line(self.problem) or f"it ended with code {self.code}"
        if self.code == _UNAVAILABLE:
            raise Unavailable(told)
        raise StartupError(told)


async def run(owner: str, *arguments: str, environment: Mapping[str, str]) -> Outcome:
    """Runs a verb of an owner."""
    # Its log is for nobody unless it fails: the verbs print what they did.
    quiet = {**environment, "INTERTIE_LOG_LEVEL": "error", "INTERTIE_LOG_FORMAT": "json"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"intertie_{owner}",
        *arguments,
        env=quiet,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problem = await process.communicate()
    return Outcome(process.returncode or 0, output.decode(errors="replace"), problem.decode(errors="replace"))


async def states(environment: Mapping[str, str], owners: Sequence[str] = OWNERS) -> list[State]:
    """How the tables of the owners stand. Raises Unavailable, StartupError."""
    outcomes = await asyncio.gather(*(run(owner, "status", environment=environment) for owner in owners))
    found = []
    for outcome in outcomes:
        outcome.raise_for_code()
        told = json.loads(outcome.output.strip().splitlines()[-1])
        warnings = tuple(told.get("warnings", ()))
        found.append(
            State(told["owner"], told["dialect"], told["current"] or "", told["head"], told["state"], warnings)
        )
    return found


def refuse_foreign(found: Sequence[State]) -> None:
    """Raises StartupError when a database holds tables that we did not make: nothing may then be altered."""
    foreign = [state.owner for state in found if state.state == "foreign"]
    if foreign:
        raise StartupError(
            f"the database holds tables that Intertie did not make (those of {', '.join(foreign)}), and nothing was "
            "changed; `intertie db adopt --dry-run` shows what taking them over would do, `intertie db adopt` does it"
        )


async def migrate(environment: Mapping[str, str], found: Sequence[State]) -> list[str]:
    """Brings every owner up that needs it; gives what each said. Raises StartupError, Unavailable.

    All at once, since most of each is the start of a process; when one fails the others still come to their end.
    """
    refuse_foreign(found)
    needy = [state.owner for state in found if state.state in ("empty", "behind")]
    outcomes = await asyncio.gather(*(run(owner, "migrate", environment=environment) for owner in needy))
    for outcome in outcomes:
        outcome.raise_for_code()
    return [outcome.output.strip() for outcome in outcomes]


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else ""
