"""Records a second that one core takes through the compiled plan of the seed's mapping.

What is counted is this process's own CPU. For each record, parsed before: whether the mapping wants it, its identity,
its version, the values of its columns. Beside it the same with parsing its bytes first.
"""

import json
import re
import time
from collections.abc import Callable, Sequence

from figures import Figure, Outcome
from intertie_mapping.configuration import Configuration
from intertie_mapping.documents import Record, parse
from intertie_mapping.plan import Plan, compile_plan
from seed import SEED
from stage import Stage

_DISTINCT = 1000
_BODY = (
    '{{"event_type": "incident_created", "id": "{number}", "title": "Traffic Accident {number}", '
    '"location": "Main St", "date": "2025-01-20"}}'
)
"""The seed's webhook."""


def measure(stage: Stage) -> Outcome:
    """Runs the part."""
    plan = compile_plan(seed_configuration())
    bodies = [_BODY.format(number=number).encode() for number in range(_DISTINCT)]
    records = [record for body in bodies for record in parse(body).records]
    seconds = stage.options.either(1, 3)
    planned: list[float] = []
    parsed: list[float] = []
    for _ in range(stage.options.rounds):
        planned.append(_rate(lambda: _through(plan, records), seconds))
        parsed.append(_rate(lambda: _through(plan, [one for body in bodies for one in parse(body).records]), seconds))
    return Outcome(
        "plan",
        (
            Figure("plan", "plan of the seed's mapping, records a core", "/s", tuple(planned)),
            Figure("plan.parsed", "plan of the seed's mapping and parsing, records a core", "/s", tuple(parsed)),
        ),
    )


def seed_configuration() -> Configuration:
    """The mapping that the seed document's SQL writes."""
    found = re.search(r"'(\{\"field_mappings\".*?\})'", SEED)
    assert found is not None
    return Configuration.from_value(json.loads(found.group(1)), strict=True)


def _through(plan: Plan, records: Sequence[Record]) -> None:
    for record in records:
        if plan.wants(record.value):
            plan.identify(record)
            plan.version(record.value)
            plan.apply(record.value)


def _rate(work: Callable[[], None], seconds: float) -> float:
    """Records a second of CPU; the work is done with all of them at once, as often as fits."""
    done, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        work()
        done += _DISTINCT
    return done / (time.process_time() - began)
