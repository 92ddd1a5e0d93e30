"""Envoy's own answers, when no upstream gives one, in the words that the gateway has for the same."""

from typing import Any

from intertie_chassis.errors import DeadlineExceeded, Internal, IntertieError, InvalidArgument, Unavailable
from intertie_gateway.problems import BodyTooLarge, HeadersTooLarge, Overloaded, RouteNotFound, body_of

_RUNTIME_KEY = "intertie.local_answer"


def config(most_bytes: int) -> dict[str, Any]:
    """What `local_reply_config` says.

    Args:
        most_bytes: the largest body that is taken.
    """
    answers: dict[int, IntertieError] = {
        404: RouteNotFound(),
        408: DeadlineExceeded("the headers did not end in time"),
        413: BodyTooLarge(most_bytes),
        431: HeadersTooLarge(),
        503: Unavailable("the service does not answer at the moment; try again", retry_after=1),
        504: DeadlineExceeded("the service did not answer within the deadline"),
    }
    malformed = InvalidArgument("this is not a valid HTTP/1.1 request", reason="MALFORMED_REQUEST")
    mappers = [
        # What Envoy answers to an unknown Transfer-Encoding.
        {**_mapper(_status("EQ", 501), malformed), "status_code": 400},
        _mapper(_with_headers(400, without=":authority"), InvalidArgument("the request must have one Host header")),
        _mapper(_with_headers(408), DeadlineExceeded("the body did not end in time")),
        # Circuit breakers and the overload manager answer 503, too.
        _mapper(_flags("UO", "OM"), Overloaded()),
        *(_mapper(_status("EQ", status), error) for status, error in answers.items()),
        _mapper(_status("GE", 500), Internal()),
        _mapper(_status("GE", 400), malformed),
    ]
    return {"mappers": mappers}


def _mapper(filter: dict[str, Any], error: IntertieError) -> dict[str, Any]:
    mapper: dict[str, Any] = {
        "filter": filter,
        "body_format_override": {
            # A format has commands between percent signs.
            "text_format_source": {"inline_string": body_of(error).decode().replace("%", "%%")},
            "content_type": "application/json",
        },
    }
    if error.retry_after is not None:
        header = {"key": "retry-after", "value": f"{error.retry_after:g}"}
        mapper["headers_to_add"] = [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    return mapper


def _status(operator: str, status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"{_RUNTIME_KEY}.{operator.lower()}_{status}"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _with_headers(status: int, without: str = "") -> dict[str, Any]:
    """Of answers to requests whose headers could be read: those with this status, that lack a header."""
    headers = [{"name": ":path", "present_match": True}]
    if without:
        headers.append({"name": without, "present_match": False})
    filters = [_status("EQ", status), *({"header_filter": {"header": header}} for header in headers)]
    return {"and_filter": {"filters": filters}}


def _flags(*flags: str) -> dict[str, Any]:
    return {"response_flag_filter": {"flags": list(flags)}}
