"""What an operator should know of the configuration that an adoption finds: what will begin, and what will not work."""

import ipaddress
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import text

from intertie_chassis.adoption import Plan
from intertie_mapping import documents
from intertie_registry import permissions, rows
from intertie_registry.ticks import PERIODS

_PRIVATE_NAMES = (".local", ".internal", ".lan", ".localhost")


async def remark(plan: Plan, *, is_first: bool) -> None:
    """Remark on mappings that will sync by themselves (`is_first`), connections in private networks, closed grants."""
    if is_first:
        await _schedules(plan)
    await _connections(plan)
    await _grants(plan)


async def _schedules(plan: Plan) -> None:
    periods = ", ".join(f"'{period}'" for period in PERIODS)
    query = (
        f"SELECT s.system_name, m.mapping_name, m.sync_frequency FROM {plan.name('external_data_mappings')} m "
        f"JOIN {plan.name('external_systems')} s ON s.id = m.system_id WHERE m.is_active AND s.is_active "
        f"AND m.source_table <> '' AND m.sync_frequency IN ({periods}) ORDER BY m.id"
    )
    for row in (await plan.connection.execute(text(query))).all():
        plan.remark(
            f"mapping {_quoted(row.mapping_name)} of {_quoted(row.system_name)} syncs {row.sync_frequency} once the "
            "suite runs, and its records go into its target table; make it manual or inactive if they should not"
        )


async def _connections(plan: Plan) -> None:
    query = (
        "SELECT c.id, s.system_name, c.connection_type, c.db_host, c.api_base_url, c.config_json "
        f"FROM {plan.name('external_system_connections')} c JOIN {plan.name('external_systems')} s "
        "ON s.id = c.system_id WHERE c.is_active ORDER BY c.id"
    )
    for row in (await plan.connection.execute(text(query))).all():
        host = row.db_host if row.connection_type == "database" else _host(rows.text(row.api_base_url))
        if host and _is_private(host) and not _has_networks(rows.text(row.config_json)):
            plan.remark(
                f"connection {row.id} of {_quoted(row.system_name)} leads to {_quoted(host)}, which no query or sync "
                'reaches until config_json allows it, as in {"allowed_networks": ["10.1.2.0/24"]}'
            )


async def _grants(plan: Plan) -> None:
    query = (
        f"SELECT g.module_name, s.system_name, g.query_permissions FROM {plan.name('module_system_mappings')} g "
        f"JOIN {plan.name('external_systems')} s ON s.id = g.system_id "
        "WHERE g.is_active AND g.query_permissions IS NOT NULL ORDER BY g.id"
    )
    for row in (await plan.connection.execute(text(query))).all():
        for problem in list(_problems(rows.text(row.query_permissions)))[:1]:
            plan.remark(
                f"the query_permissions of {_quoted(row.module_name)} on {_quoted(row.system_name)} permit less than "
                f"they may have meant: {problem}"
            )


def _problems(body: str) -> Iterator[str]:
    if not body.strip():
        return
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        yield "they are not JSON, so nothing is permitted"
        return
    if document is None:
        return
    for place, problem in permissions.problems(document):
        yield f"{place} {problem}".strip()
    for item in document if isinstance(document, list) else ():
        if isinstance(item, str) and (" " in item.strip() or item.strip() == "*"):
            yield f"{_quoted(item)} is no table and no endpoint"


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        name = host.rstrip(".").lower()
        return "." not in name or name.endswith(_PRIVATE_NAMES)


def _has_networks(config: str) -> bool:
    try:
        document = json.loads(config or "null")
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and bool(document.get("allowed_networks"))


def _quoted(value: Any) -> str:
    return documents.serialise(rows.text(value)[:200])
