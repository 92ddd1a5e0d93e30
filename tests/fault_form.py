"""Which form of the fault tests runs: the short one of `make test`, or the long one of `make faults`.

The only reader of INTERTIE_FAULTS (`long`), INTERTIE_FAULTS_SEED, INTERTIE_FAULTS_RESULTS (a file to which each test
adds lines of JSON) and INTERTIE_FAULTS_KILLS, _CUTS, _STOPS, _CASES, _EXAMPLES (how many).
"""

import json
import os
import secrets
import time
from pathlib import Path
from typing import TypeVar

import requirement

T = TypeVar("T")


def is_long() -> bool:
    """Whether the long form runs."""
    return os.environ.get("INTERTIE_FAULTS") == "long"


def either(short: T, long: T) -> T:
    """The one for the form that runs."""
    return long if is_long() else short


def amount(name: str, short: int, long: int) -> int:
    """How many KILLS, CUTS or EXAMPLES: as the environment says, else by the form."""
    return int(os.environ.get(f"INTERTIE_FAULTS_{name}", either(short, long)))


def stores(short: str) -> list[str]:
    """The stores on which a test runs: both in the long form, one in the short (kill loops: both)."""
    return either([short], ["sqlite", "mariadb"])


def seed() -> int:
    """The seed of this run, printed so that the run can be had again; CI's is always the same."""
    given = os.environ.get("INTERTIE_FAULTS_SEED")
    chosen = int(given) if given else 1 if "CI" in os.environ else secrets.randbelow(1_000_000)
    print(f"INTERTIE_FAULTS_SEED={chosen}")  # noqa: T201 - pytest shows it with a failure
    return chosen


def publish(name: str, **figures: object) -> None:
    """Add a line of figures to the results, and print it."""
    line = json.dumps({"name": name, "at": int(time.time()), **figures}, default=str)
    print(line)  # noqa: T201
    path = os.environ.get("INTERTIE_FAULTS_RESULTS")
    if path:
        with Path(path).open("a") as results:
            results.write(line + "\n")


def require_long() -> None:
    """Skip the running test unless the long form runs: it measures more than it tries."""
    if not is_long():
        requirement.missing("the long form", "make faults")
