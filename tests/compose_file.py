"""docker-compose.yml as tests look at it: its services with merges resolved, and what they are given."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from source_tree import ROOT, SERVICES

PROCESSES = (*SERVICES, "pull", "gateway")
#: processes whose code another one's distribution holds
IMAGES = {"pull": "ingest"}
ONE_SHOTS = ("migrate", "envoy-config")


@cache
def compose() -> dict[str, Any]:
    """Read the file."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def services() -> dict[str, dict[str, Any]]:
    """Give the services by their names."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Give what a service mounts: the source, where to, and whether read-only."""
    for text in service.get("volumes", []):
        source, target, *options = text.split(":")
        yield source, target, "ro" in options
