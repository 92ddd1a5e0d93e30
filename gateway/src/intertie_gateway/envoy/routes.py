"""Which request goes where: the routes of the HTTP listener and of the gRPC listener."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from intertie.api.v1 import options_pb2
from intertie_chassis.access import Rule
from intertie_gateway.envoy.clusters import ADMIN, GATEWAY
from intertie_gateway.envoy.straight import Detour, Straight
from intertie_gateway.receive import PUSH, WEBHOOK

LUA = "envoy.filters.http.lua"
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
PLAIN = "intertie"
"""Where `plain.lua` leaves its verdict."""

_TRANSCODER_CONFIG = "type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"
_FILTER_CONFIG = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
_BEARER = "[Bb][Ee][Aa][Rr][Ee][Rr] +[A-Za-z0-9._~+/=-]+"
_JSON = "application/json(; ?charset=[Uu][Tt][Ff]-8)?"
_IDLE_MARGIN = 5.0
_OWN_MARGIN = 2.0
"""Seconds that are left for the upstream's own answer that the time is over."""
_LONGEST_STREAM_PAUSE = "3600s"


@dataclass(frozen=True, slots=True)
class Times:
    """How long requests may take, in seconds."""

    deadline: float
    """Behind the gateway, unless the contract of the method asks for more."""
    call: float
    """A gRPC call with one answer, unless its contract asks for more."""


def http(judged: Sequence[Straight | Detour], times: Times) -> dict[str, Any]:
    """The routes of the HTTP listener.

    A request of a straight route first takes its way to the gateway; there `plain.lua` looks at it, and when it is
    plain, the routes are looked through again, and it takes the one to the service. So whatever the script does not
    vouch for, or would vouch for if it had not failed, the gateway answers.

    Args:
        judged: every annotated route, the more specific before the less.
    """
    longest = max([times.deadline, *(one.route.longest_seconds for one in judged)])
    routes = [_received(WEBHOOK, "prefix", times), _received(PUSH, "path", times)]
    for one in judged:
        routes += _annotated(one, times)
    routes.append(_to_gateway("all else", {"prefix": "/"}, longest, times))
    host = {
        "name": "http",
        "domains": ["*"],
        "routes": routes,
        "request_headers_to_add": [
            _header("x-forwarded-for", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "APPEND_IF_EXISTS_OR_ADD")
        ],
        "response_headers_to_add": [_header("x-request-id", "%REQ(X-REQUEST-ID)%", "ADD_IF_ABSENT")],
    }
    return {"name": "http", "validate_clusters": False, "virtual_hosts": [host]}


def grpc(services: Iterable[tuple[str, ServiceDescriptor]], times: Times) -> dict[str, Any]:
    """The routes of the gRPC listener: the methods that somebody other than a service may call, each by its path.

    A call without a token is refused here: with TLS a service would take Envoy's certificate for its caller's word.
    """
    routes = [
        _call(server, service, method, times)
        for server, service in services
        for method in service.methods
        if Rule.of(method).roles - {"service"}
    ]
    paths = [route["match"] for route in routes]
    denied = [_denied(match) for match in paths]
    unknown = {
        "name": "all else",
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": "there is no such method here"}},
    }
    host = {"name": "grpc", "domains": ["*"], "routes": [*routes, *denied, unknown]}
    return {"name": "grpc", "validate_clusters": False, "virtual_hosts": [host]}


def statistics() -> dict[str, Any]:
    """The routes of the listener that shows statistics, and nothing else of the admin page."""
    routes = [
        {"match": {"path": path, "headers": [_exactly(":method", "GET")]}, "route": {"cluster": ADMIN}}
        for path in ("/stats/prometheus", "/ready")
    ]
    return {"name": "statistics", "virtual_hosts": [{"name": "statistics", "domains": ["*"], "routes": routes}]}


def _annotated(one: Straight | Detour, times: Times) -> list[dict[str, Any]]:
    route = one.route
    seconds = max(times.deadline, float(route.longest_seconds))
    name = f"{route.verb} {route.template}"
    match = {"safe_regex": {"regex": one.path}, "headers": [_exactly(":method", route.verb)]}
    if isinstance(one, Detour):
        return [_to_gateway(f"{name} ({one.why})", match, seconds, times)]
    plain = {
        **match,
        "headers": [*match["headers"], *_plain_headers(route.body)],
        "dynamic_metadata": [{"filter": PLAIN, "path": [{"key": "plain"}], "value": {"bool_match": True}}],
    }
    straight = {
        "name": name,
        "match": plain,
        "route": {
            "cluster": route.backend,
            **_lasting(seconds + _OWN_MARGIN),
            "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 1},
        },
        "request_headers_to_add": [_header("grpc-timeout", f"{round(seconds * 1000)}m", "OVERWRITE_IF_EXISTS_OR_ADD")],
    }
    looked_at: dict[str, Any] = {"query": one.query}
    if one.body is not None:
        looked_at["body"] = one.body
    first = _to_gateway(f"{name} (unless plain)", match, seconds, times)
    return [straight, {**first, "metadata": {"filter_metadata": {LUA: looked_at}}}]


def _plain_headers(body: str) -> list[dict[str, Any]]:
    absent = ["content-encoding", "transfer-encoding", "upgrade", "expect", "x-http-method-override"]
    headers = [_fits("authorization", _BEARER)]
    if body:
        headers.append(_fits("content-type", _JSON))
    else:
        # With application/grpc the transcoder would pass the request on as it is.
        absent.append("content-type")
    return [*headers, *({"name": name, "present_match": False} for name in absent)]


def _received(path: bytes, kind: str, times: Times) -> dict[str, Any]:
    """A receiving route: the hot path, in whose way nothing stands."""
    route = _to_gateway(f"deliveries {path.decode()}", {kind: path.decode()}, times.deadline, times)
    route["typed_per_filter_config"] |= {LUA: {"@type": _FILTER_CONFIG, "disabled": True}}
    return route


def _to_gateway(name: str, match: dict[str, Any], seconds: float, times: Times) -> dict[str, Any]:
    # The time of a route runs from the end of the request; only the pause between its bytes counts for the idle time.
    action = {
        "cluster": GATEWAY,
        **_lasting(seconds + _OWN_MARGIN),
        "retry_policy": {"retry_on": "connect-failure", "num_retries": 1},
    }
    # A transcoder without services leaves requests as they are. Not `disabled`: that is decided by a request's first
    # route, and must hold for its last.
    transcoder = {"@type": _TRANSCODER_CONFIG, "proto_descriptor_bin": "", "services": []}
    return {"name": name, "match": match, "route": action, "typed_per_filter_config": {TRANSCODER: transcoder}}


def _lasting(seconds: float) -> dict[str, str]:
    return {"timeout": f"{seconds:g}s", "idle_timeout": f"{seconds + _IDLE_MARGIN:g}s"}


def _call(server: str, service: ServiceDescriptor, method: MethodDescriptor, times: Times) -> dict[str, Any]:
    path = f"/{service.full_name}/{method.name}"
    action: dict[str, Any] = {
        "cluster": server,
        "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 1},
    }
    if method.client_streaming or method.server_streaming:
        action |= {"timeout": "0s", "idle_timeout": _LONGEST_STREAM_PAUSE}
    else:
        longest = int(method.GetOptions().Extensions[options_pb2.longest_seconds])
        action |= _lasting(max(times.call, float(longest)) + _OWN_MARGIN)
    headers = [_fits("authorization", _BEARER)]
    return {"name": path, "match": {"path": path, "grpc": {}, "headers": headers}, "route": action}


def _denied(match: dict[str, Any]) -> dict[str, Any]:
    body = {"inline_string": "this call needs one authorization header: Bearer and a token"}
    return {
        "name": f"{match['path']} without a token",
        "match": {"path": match["path"], "grpc": {}},
        "direct_response": {"status": 401, "body": body},
    }


def _header(name: str, value: str, action: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action}


def _exactly(header: str, value: str) -> dict[str, Any]:
    return {"name": header, "string_match": {"exact": value}}


def _fits(header: str, regex: str) -> dict[str, Any]:
    return {"name": header, "string_match": {"safe_regex": {"regex": regex}}}
