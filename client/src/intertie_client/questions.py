"""Questions with one answer: to external databases and APIs, about access, and the reports of checkpoints."""

from typing import Any

from intertie_client import operations, reading
from intertie_client.models import Access, ApiAnswer, Checkpoint, ModuleSystem, QueryResult
from intertie_client.plans import Plan, Terms, call
from intertie_client.setup import Setup


def query_database(
    setup: Setup, system: str, query: str, params: Any, max_rows: int, connection_id: int, timeout: float | None
) -> Plan[QueryResult]:
    """One statement and its whole answer."""
    question = operations.database_query(system, query, params, setup.named_module, connection_id, max_rows)
    response = yield from call(setup.terms, operations.query_database(question), timeout)
    return reading.query_result(response)


def stream_database(
    setup: Setup, system: str, query: str, params: Any, max_rows: int, connection_id: int, timeout: float
) -> Plan[Any]:
    """One statement; comes to the open stream of its rows."""
    question = operations.database_query(system, query, params, setup.named_module, connection_id, max_rows)
    return (yield from call(setup.terms, operations.stream_database(question), timeout))


def query_api(
    setup: Setup, system: str, endpoint: str, method: str, data: Any, connection_id: int, timeout: float | None
) -> Plan[ApiAnswer]:
    """A call of an external API."""
    operation = operations.query_api(system, endpoint, method, data, setup.named_module, connection_id)
    response = yield from call(setup.terms, operation, timeout)
    return reading.api_answer(response)


def record_checkpoint(
    terms: Terms,
    target: tuple[str, int],
    system: str,
    status: str,
    sent: Any,
    received: Any,
    error: str,
    timeout: float | None,
) -> Plan[Checkpoint]:
    """Keeps a state of an exchange. `target` is the table and the row's number."""
    operation = operations.record_checkpoint(*target, system, status, sent, received, error)
    message = yield from call(terms, operation, timeout)
    return reading.checkpoint(message)


def list_systems(setup: Setup, timeout: float | None) -> Plan[list[ModuleSystem]]:
    """The systems that the module may use."""
    response = yield from call(setup.terms, operations.list_systems(setup.module()), timeout)
    return [reading.module_system(system) for system in response.systems]


def check_access(setup: Setup, system: str, access: str, timeout: float | None) -> Plan[Access]:
    """Whether the module may use a system in a way."""
    response = yield from call(setup.terms, operations.check_access(setup.module(), system, access), timeout)
    return reading.access(response)
