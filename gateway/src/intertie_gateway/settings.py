"""What the gateway reads from its environment besides what all processes share."""

import os
from typing import Literal

from pydantic import Field

from intertie_chassis.settings import Settings


class GatewaySettings(Settings):
    """The settings of the gateway."""

    gateway_max_body_bytes: int = Field(
        1024 * 1024, ge=1, le=25 * 1024 * 1024, description="The largest body that is taken, in bytes; at most 25 MiB."
    )
    gateway_deadline_seconds: float = Field(
        10.0, gt=0, le=300, description="How long a request may take behind the gateway before it is answered 504."
    )
    gateway_workers: int = Field(
        1, ge=1, le=64, description="Processes that share the port (SO_REUSEPORT), each with its own connections."
    )
    gateway_trusted_proxies: str = Field(
        "",
        description="Addresses or networks, separated by commas, of the proxies whose `X-Forwarded-For` is believed. "
        "Empty: the peer is whoever connects.",
    )
    gateway_group_deliveries: int = Field(
        256, ge=1, le=1000, description="How many deliveries at most go to ingest in one call."
    )
    gateway_group_calls: int = Field(
        4, ge=1, le=16, description="How many calls with deliveries are in flight at once, at most."
    )
    gateway_waiting_deliveries: int = Field(
        4096, ge=1, description="How many deliveries wait for ingest at most; more are answered 503."
    )
    gateway_max_connections: int = Field(
        4096, ge=1, description="How many connections one process holds at most; more are answered 503 and closed."
    )
    gateway_address_rate: float = Field(
        0.0,
        ge=0,
        description="Requests a second of one address (IPv6: one /64), on all routes; more are answered 429 before "
        "their body is read. 0: no limit. Each of several workers allows its share.",
    )
    gateway_address_burst: int = Field(
        0, ge=0, description="How many of them may come at once. 0: as many as in a second."
    )
    gateway_address_in_flight: int = Field(
        0, ge=0, description="Requests of one address that are answered at once; more are answered 429. 0: no limit."
    )
    gateway_address_connections: int = Field(
        0,
        ge=0,
        description="Connections of one address that are open at once; more are answered 429 and closed. 0: no limit. "
        "Those of trusted proxies are not counted.",
    )
    gateway_headers_seconds: float = Field(
        5.0, gt=0, description="How long the headers of a request may take before it is answered 408."
    )
    gateway_body_seconds: float = Field(
        10.0,
        gt=0,
        description="How long a body may take before it is answered 408; each 64 KiB that arrive earn a second more.",
    )
    gateway_idle_seconds: float = Field(30.0, ge=1, description="How long a connection without a request is kept open.")
    gateway_max_concurrent_calls: int = Field(
        256, ge=1, description="Requests other than deliveries that are answered at once; more are answered 429."
    )
    gateway_access_log: Literal["all", "failures", "off"] = Field(
        "all", description="Which requests are logged: all, those answered 4xx or 5xx, or none."
    )

    def environment_of_worker(self, number: int) -> dict[str, str]:
        """What a worker process reads: this one's environment, with a port of its own for its metrics."""
        if not self.gateway_metrics_listen:
            return dict(os.environ)
        host, _, port = self.gateway_metrics_listen.rpartition(":")
        return {**os.environ, "INTERTIE_GATEWAY_METRICS_LISTEN": f"{host}:{int(port) + number - 1}"}
