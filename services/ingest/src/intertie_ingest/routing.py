"""Where a record of a delivery goes: which mappings want it, under which id, in the time that filters may take."""

import time
from collections.abc import Callable

from intertie_chassis.errors import InvalidArgument
from intertie_ingest.configuration import CompiledMapping
from intertie_ingest.model import Fault, RoutedRecord
from intertie_mapping.documents import Record
from intertie_mapping.errors import MappingFault, Reason
from intertie_mapping.identities import identity
from intertie_mapping.plan import Plan

FILTER_SECONDS = 2.0
MOST_EXTERNAL_ID_CHARACTERS = 255


class Patience:
    """How long the filters of each system may take for a group of deliveries: what an array of records multiplies must
    not keep other systems waiting. Beyond it records are set aside, as by any filter that fails.
    """

    def __init__(self, seconds: float = FILTER_SECONDS, clock: Callable[[], float] = time.thread_time) -> None:
        """`clock` counts what this thread has worked, so that a busy machine sets nothing aside."""
        self._seconds = seconds
        self._clock = clock
        self._taken: dict[int, float] = {}

    def wants(self, system_id: int, plan: Plan, record: Record) -> bool:
        """Whether the plan's filter lets the record pass. Raises MappingFault."""
        if plan.configuration.filter is None:
            return True
        taken = self._taken.get(system_id, 0.0)
        if taken >= self._seconds:
            message = (
                f"The filters of the system had taken {self._seconds:g} seconds for what came with this record; "
                "simplify them, or send less at once."
            )
            raise MappingFault(Reason.EXPRESSION_LIMIT, "filter", message)
        started = self._clock()
        try:
            return plan.wants(record.value)
        finally:
            self._taken[system_id] = taken + self._clock() - started


def place(
    route: CompiledMapping, record: Record, own_id: str, is_push: bool, wants: Callable[[Plan, Record], bool]
) -> tuple[str | None, RoutedRecord] | None:
    """The record's id as the sender knows it, and its place in the cache; None when the mapping does not want it.

    Raises InvalidArgument for a push whose data is at fault; what a webhook brings is set aside instead.
    """
    plan, fault, version, shown = route.plan, route.fault, None, None
    if plan is None:
        shown = payload_id(record)
    else:
        try:
            if not is_push and not wants(plan, record):
                return None
            shown = plan.identify(record)
            record.require_unique_keys()
            version = plan.version(record.value)
        except MappingFault as error:
            if is_push:
                raise InvalidArgument(error.message, violations=[("data", error.message)]) from None
            fault = Fault(error.reason, error.field, error.message)
            shown = shown or _identified(plan, record) or payload_id(record)
    external_id = shown or own_id
    if plan is not None and plan.every and shown:
        external_id = f"{shown[: MOST_EXTERNAL_ID_CHARACTERS - len(own_id) - 1]}@{own_id}"
    placed = RoutedRecord(
        route.id, external_id, record.raw.decode(), record.digest(), version, route.is_realtime, fault
    )
    return shown, placed


def _identified(plan: Plan, record: Record) -> str | None:
    """The id that the plan finds: what a filter could not judge is still known by it, and replayed under it."""
    try:
        return plan.identify(record)
    except MappingFault:
        return None


def payload_id(record: Record) -> str | None:
    """What stands under `id`, if it can be one."""
    try:
        return identity(record.value.get("id"))
    except MappingFault:
        return None
