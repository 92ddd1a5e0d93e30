"""Whom Envoy connects to: the services, the gateway, and how it sees that one of them is away."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from intertie_chassis.errors import StartupError

GATEWAY = "gateway"
ADMIN = "admin"
_CONNECT_SECONDS = 1
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, what: str) -> "Address":
        """The address in ``host:port``. Raises StartupError that says what it is of."""
        host, colon, port = text.rpartition(":")
        if not (host and colon and port.isdigit() and 0 < int(port) < 65_536):
            raise StartupError(f"{what}: {text} is not host:port")
        return cls(host.strip("[]"), int(port))

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, not a name."""
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True

    def config(self) -> dict[str, Any]:
        """As Envoy has it."""
        return {"socket_address": {"address": self.host, "port_value": self.port}}


def service(name: str, address: Address, transport: dict[str, Any] | None, most_calls: int) -> dict[str, Any]:
    """The cluster of a gRPC service.

    Args:
        transport: the transport socket of TLS; None: clear text.
        most_calls: how many calls may be open at once.
    """
    keepalive = {"interval": "60s", "timeout": "10s"}
    health = {"grpc_health_check": {}, "no_traffic_interval": "5s"}
    cluster = _cluster(name, address, {"http2_protocol_options": {"connection_keepalive": keepalive}}, health)
    if transport is not None:
        cluster["transport_socket"] = transport
    return {**cluster, "circuit_breakers": _breakers(most_calls)}


def gateway(address: Address, most_connections: int) -> dict[str, Any]:
    """The cluster of the Python gateway."""
    health = {"http_health_check": {"path": "/healthz"}, "no_traffic_interval": "5s"}
    # The gateway closes idle connections after 30 s; ours must go first, or a request meets a closing one.
    cluster = _cluster(GATEWAY, address, {"http_protocol_options": {}}, health, idle="20s")
    return {**cluster, "circuit_breakers": _breakers(most_connections)}


def admin(address: Address) -> dict[str, Any]:
    """The cluster of Envoy's own admin page, of which the statistics are shown."""
    return {
        "name": ADMIN,
        "type": "STATIC",
        "connect_timeout": f"{_CONNECT_SECONDS}s",
        "load_assignment": _endpoints(ADMIN, address),
    }


def _cluster(
    name: str, address: Address, protocol: dict[str, Any], health: dict[str, Any], idle: str = "300s"
) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STATIC" if address.is_literal else "STRICT_DNS",
        "connect_timeout": f"{_CONNECT_SECONDS}s",
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "load_assignment": _endpoints(name, address),
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": protocol,
                "common_http_protocol_options": {"idle_timeout": idle},
            }
        },
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "5s",
                "interval_jitter": "1s",
                "unhealthy_interval": "1s",
                "unhealthy_threshold": 3,
                "healthy_threshold": 1,
                **health,
            }
        ],
        # Connections that fail count, not answers: a 503 tells what is away, and often that is not the service.
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 5,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0,
            "enforcing_local_origin_success_rate": 0,
            "interval": "2s",
            "base_ejection_time": "5s",
            "max_ejection_time": "60s",
            "max_ejection_percent": 50,
        },
    }


def _endpoints(name: str, address: Address) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address.config()}}
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}


def _breakers(most: int) -> dict[str, Any]:
    threshold = {
        "max_connections": most,
        "max_pending_requests": most,
        "max_requests": most,
        "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3},
        "track_remaining": True,
    }
    return {"thresholds": [threshold]}
