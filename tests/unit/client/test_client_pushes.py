"""Many records pushed in few calls: one outcome each, in order, whatever is refused and wherever it fails."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from intertie.ingest.v1 import ingest_pb2
from intertie_client import errors
from intertie_client.models import PushOutcome
from intertie_client.plans import Send, Terms
from intertie_client.pushes import MOST_BATCH_BYTES, MOST_BATCH_RECORDS, push_many

REFUSED = errors.InvalidArgument("bad", violations=[errors.FieldViolation("data", "bad")])
Push = ingest_pb2.PushRequest


class Ingest:
    """Takes what it is sent, unless something in it is bad."""

    def __init__(self, judge: Callable[[Push], errors.IntertieError | None] = lambda request: None) -> None:
        self.stored: list[Any] = []
        self.asked: list[Push] = []
        self._judge = judge

    def outcomes(self, records: Iterable[Any], **arguments: Any) -> list[PushOutcome]:
        """What becomes of the records."""
        plan = push_many(Terms(), "police", "incidents", records, arguments.get("key"), None)
        try:
            step = next(plan)
            while True:
                assert isinstance(step, Send)
                try:
                    answer = self._take(step.operation.request)
                except errors.IntertieError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as done:
            found: list[PushOutcome] = done.value
            return found

    def _take(self, request: Any) -> ingest_pb2.PushResponse:
        self.asked.append(request)
        data = json.loads(request.data)
        records = data if isinstance(data, list) else [data]
        refused = self._judge(request) or (REFUSED if any("bad" in record for record in records) else None)
        if refused is not None:
            raise refused
        self.stored.extend(records)
        ids = [str(record.get("id")) for record in records]
        acceptance = ingest_pb2.Acceptance(
            delivery_id=f"D{len(self.asked)}", system="police", mapping="incidents", external_ids=ids
        )
        return ingest_pb2.PushResponse(acceptance=acceptance)


@given(st.lists(st.sampled_from(["good", "bad", "no json"]), max_size=40))
def test_what_is_bad_harms_no_other_and_the_order_stays(kinds: list[str]) -> None:
    """However many are bad, and wherever they are."""
    made = {
        "good": lambda number: {"id": number},
        "bad": lambda number: {"id": number, "bad": 1},
        "no json": lambda _: {1},
    }
    ingest = Ingest()
    outcomes = ingest.outcomes(made[kind](number) for number, kind in enumerate(kinds))
    assert [outcome.ok for outcome in outcomes] == [kind == "good" for kind in kinds]
    good = [number for number, kind in enumerate(kinds) if kind == "good"]
    assert [record["id"] for record in ingest.stored] == good
    assert [outcomes[number].pushed.external_id for number in good] == [str(number) for number in good]  # type: ignore[union-attr]
    assert all(outcome.error is not None for outcome in outcomes if not outcome.ok)


def test_few_calls_carry_many_records() -> None:
    """At most 1000 records and 1 MiB each; one that is larger by itself goes alone."""
    ingest = Ingest()
    assert all(outcome.ok for outcome in ingest.outcomes({"id": number} for number in range(2500)))
    assert [len(json.loads(request.data)) for request in ingest.asked] == [MOST_BATCH_RECORDS, MOST_BATCH_RECORDS, 500]
    assert [record["id"] for record in ingest.stored] == list(range(2500))

    ingest = Ingest()
    records = [{"id": number, "text": "x" * size} for number, size in enumerate([600_000, 600_000, 2_000_000, 10, 10])]
    assert all(outcome.ok for outcome in ingest.outcomes(records))
    assert [len(request.data) <= MOST_BATCH_BYTES for request in ingest.asked] == [True, True, False, True]


def test_one_bad_record_of_a_thousand_costs_few_calls() -> None:
    """It is found by halving."""
    ingest = Ingest()
    outcomes = ingest.outcomes({"id": number, **({"bad": 1} if number == 700 else {})} for number in range(1000))
    assert [place for place, outcome in enumerate(outcomes) if not outcome.ok] == [700]
    assert len(ingest.asked) <= 21


def test_nothing_is_sent_behind_a_failure() -> None:
    """What was stored before it is told so, everything else has the failure; the service is not asked again."""
    away = errors.DeadlineExceeded()
    ingest = Ingest(lambda request: away if len(ingest.asked) == 2 else None)
    outcomes = ingest.outcomes({"id": number} for number in range(2500))
    assert len(ingest.asked) == 2
    assert [outcome.ok for outcome in outcomes] == [True] * 1000 + [False] * 1500
    assert {outcome.error for outcome in outcomes[1000:]} == {away}


def test_what_is_wrong_with_all_is_asked_once() -> None:
    """A name that is none is not looked for in the records."""
    wrong = errors.InvalidArgument(violations=[errors.FieldViolation("system", "is no name")])
    ingest = Ingest(lambda request: wrong)
    outcomes = ingest.outcomes({"id": number} for number in range(10))
    assert (len(ingest.asked), [outcome.error for outcome in outcomes]) == (1, [wrong] * 10)


def test_keys_are_of_what_is_pushed() -> None:
    """The same again under a caller's key has the same keys, other records have others, and equal batches their own."""
    keys = []
    for records in ([{"id": 1}] * 1001, [{"id": 1}] * 1001, [{"id": 2}] * 1001):
        ingest = Ingest()
        ingest.outcomes(records, key="nightly")
        keys.append([request.idempotency_key for request in ingest.asked])
    assert keys[0] == keys[1]
    assert not set(keys[0]) & set(keys[2])
    ingest = Ingest()
    ingest.outcomes([{"id": 1}] * 2000)
    assert len({request.idempotency_key for request in ingest.asked}) == 2
    assert all(0 < len(request.idempotency_key) <= 255 for request in ingest.asked)
