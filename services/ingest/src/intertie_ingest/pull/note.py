"""What the audit log is told of one call, collected while the call is answered."""

from dataclasses import dataclass, field
from typing import Any

from intertie_chassis.calls import current_request_id
from intertie_chassis.principals import current_principal
from intertie_ingest.databases.statements import kind_of
from intertie_ingest.pull.questions import ApiQuestion, DatabaseQuestion

_API_KINDS = {"POST": "api_post", "PUT": "api_put", "PATCH": "api_put", "DELETE": "api_delete"}


@dataclass(slots=True)
class Note:
    """One call."""

    #: `select`, `insert`, `update`, `delete`, `api_get`, `api_post`, `api_put`, `api_delete`, `configuration`
    query_type: str
    #: the statement or the endpoint, as asked
    query_string: str
    system: str
    #: 0: not known, or none
    system_id: int = 0
    #: whose grant it is; empty: not known yet, or none
    module: str = ""
    #: name and JSON of what was sent along
    sent: tuple[str, bytes] = ("", b"")
    #: what else was asked for
    asked: dict[str, Any] = field(default_factory=dict)
    #: what came of it; never the results themselves
    answered: dict[str, Any] = field(default_factory=dict)
    #: whether something outside may have been changed
    has_changed: bool = False
    actor: str = field(default_factory=lambda: current_principal().subject)
    request_id: str = field(default_factory=lambda: current_request_id() or "")

    @classmethod
    def of_statement(cls, question: DatabaseQuestion) -> "Note":
        """What is known before the question has been looked at."""
        asked: dict[str, Any] = {"connection_id": question.connection_id} if question.connection_id else {}
        if question.max_rows:
            asked["max_rows"] = question.max_rows
        if question.is_stream:
            asked["stream"] = True
        kind = kind_of(question.query)
        return cls(kind, question.query, question.system, sent=("params", question.params), asked=asked)

    @classmethod
    def of_call(cls, question: ApiQuestion) -> "Note":
        """What is known before the question has been looked at."""
        method = question.method.upper() or "GET"
        asked: dict[str, Any] = {"method": method[:16]}
        if question.connection_id:
            asked["connection_id"] = question.connection_id
        kind = _API_KINDS.get(method, "api_get")
        return cls(kind, question.endpoint, question.system, sent=("data", question.data), asked=asked)
