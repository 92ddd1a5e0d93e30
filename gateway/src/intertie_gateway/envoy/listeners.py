"""Where Envoy listens, and what it bears of those who connect: limits, times, filters, its log."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from intertie_gateway.envoy import local_answers
from intertie_gateway.envoy.clusters import Address
from intertie_gateway.envoy.routes import LUA, TRANSCODER
from intertie_gateway.limits import MOST_HEAD_BYTES

_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_REQUEST_IDS = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
"""Without an option it writes a digit of its own into every id of 36 characters, a sender's too."""
_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_KIB = 1024
_BODY_RATE = 64 * _KIB
"""Bytes of a body that earn it a second, as at the gateway."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send, and how long it may take for it; sizes in bytes, times in seconds."""

    body_bytes: int
    headers_seconds: float
    body_seconds: float
    idle_seconds: float
    trusted_hops: int = 0
    """Proxies before Envoy whose X-Forwarded-For is believed."""

    @property
    def longest_body(self) -> float:
        """Seconds that a body of the largest size may take."""
        return self.body_seconds + self.body_bytes / _BODY_RATE


def http(
    address: Address,
    limits: Limits,
    routes: dict[str, Any],
    services: Sequence[str],
    descriptors: PurePath,
    transport: dict[str, Any] | None,
) -> dict[str, Any]:
    """The listener for senders, operators and whoever else speaks HTTP.

    Args:
        routes: what the connection manager says of its routes.
        services: those that have HTTP routes.
        descriptors: the file of the contracts.
    """
    filters = [
        {
            "name": LUA,
            "typed_config": {
                "@type": f"{_HTTP}.lua.v3.Lua",
                "default_source_code": {
                    "inline_string": (files("intertie_gateway") / "envoy" / "plain.lua").read_text(encoding="utf-8")
                },
            },
        },
        {"name": TRANSCODER, "typed_config": transcoder(services, descriptors)},
        _router(),
    ]
    manager = {
        **_manager("http", limits, routes, filters),
        # What a path means, the gateway says, from the very bytes: normalised here, /webhook/../push would be /push.
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "local_reply_config": local_answers.config(limits.body_bytes),
        "http_protocol_options": {"accept_http_10": True},
        "request_timeout": f"{limits.longest_body:g}s",
    }
    return _listener("http", address, manager, transport)


def grpc(address: Address, limits: Limits, routes: dict[str, Any], transport: dict[str, Any] | None) -> dict[str, Any]:
    """The listener for modules, which call the services as they are."""
    manager = {
        **_manager("grpc", limits, routes, [_router()]),
        "codec_type": "HTTP2",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
    }
    manager["common_http_protocol_options"] |= {"headers_with_underscores_action": "REJECT_REQUEST"}
    return _listener("grpc", address, manager, transport)


def statistics(address: Address, routes: dict[str, Any]) -> dict[str, Any]:
    """The listener that shows statistics to Prometheus."""
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "statistics",
        "route_config": routes,
        "http_filters": [_router()],
    }
    return _listener("statistics", address, manager, None)


def transcoder(services: Sequence[str], descriptors: PurePath) -> dict[str, Any]:
    """How JSON becomes gRPC and gRPC JSON: as the gateway does it."""
    return {
        "@type": f"{_HTTP}.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptors),
        "services": list(services),
        "match_incoming_request_route": True,
        "convert_grpc_status": True,
        "print_options": {
            "preserve_proto_field_names": True,
            "always_print_primitive_fields": True,
            "always_print_enums_as_ints": False,
        },
        # Requests are plain already when they come here; this is a second look.
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    }


def _manager(name: str, limits: Limits, routes: dict[str, Any], filters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@type": _MANAGER,
        "stat_prefix": name,
        **routes,
        "http_filters": filters,
        "use_remote_address": True,
        "xff_num_trusted_hops": limits.trusted_hops,
        # For a client on this machine Envoy would write another address of the machine; the routes write the client's.
        "skip_xff_append": True,
        "server_header_transformation": "PASS_THROUGH",
        # A sender's id stays; traceparent and tracestate pass like any header.
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "request_id_extension": {"typed_config": {"@type": _REQUEST_IDS, "pack_trace_reason": False}},
        # 8 KiB of URL and 8 KiB of headers are the gateway's limits, and it counts; more than all is refused here.
        "max_request_headers_kb": MOST_HEAD_BYTES // _KIB,
        "request_headers_timeout": f"{limits.headers_seconds:g}s",
        # Until a route says otherwise.
        "stream_idle_timeout": f"{limits.body_seconds:g}s",
        "common_http_protocol_options": {"idle_timeout": f"{limits.idle_seconds:g}s", "max_headers_count": 100},
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 64 * _KIB,
            "initial_connection_window_size": _KIB * _KIB,
        },
        "access_log": [_access_log(name)],
    }


def _router() -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.router",
        # x-envoy-… would reach the verification of deliveries among the sender's headers.
        "typed_config": {"@type": f"{_HTTP}.router.v3.Router", "suppress_envoy_headers": True},
    }


def _listener(name: str, address: Address, manager: dict[str, Any], transport: dict[str, Any] | None) -> dict[str, Any]:
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if transport is not None:
        chain["transport_socket"] = transport
        chain["transport_socket_connect_timeout"] = "5s"
    return {
        "name": name,
        "address": address.config(),
        "per_connection_buffer_limit_bytes": _KIB * _KIB,
        "filter_chains": [chain],
    }


def _access_log(listener: str) -> dict[str, Any]:
    """A line a request, in JSON. Values of query parameters and headers are not in it: they may be secrets."""
    line = {
        "event": "request",
        "service": "envoy",
        "listener": listener,
        "timestamp": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "traceparent": "%REQ(TRACEPARENT)%",
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "path": "%PATH(NQ:ORIG_OR_PATH):300%",
        "route": "%ROUTE_NAME%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS(SNAKE_STRING)%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "milliseconds": "%DURATION%",
        "upstream": "%UPSTREAM_CLUSTER%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    }
    if listener == "grpc":
        line["certificate"] = "%DOWNSTREAM_PEER_URI_SAN%"
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": line},
        },
    }
