"""External systems as sources of incidents: real databases and an API's pages, told to the suite as users tell it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from external_api import CLIENT_ID, CLIENT_SECRET, PASSWORD, TOKEN, USER, ExternalApi
from external_databases import LOOPBACK, External
from suite import PREFIX, Suite
from waiting import eventually

Row = dict[str, Any]

#: where incidents go, and which columns their title and day become
TARGETS: dict[str, Row] = {
    "events": {"field_mappings": {"title": "event_title", "day": "date"}},
    "campaigns": {"field_mappings": {"title": "title", "day": "start_date"}},
    "surveys": {"field_mappings": {"title": "title", "day": "description"}},
}
#: which of their columns have the title and the day
COLUMNS = {"events": ("event_title", "date"), "campaigns": ("title", "start_date"), "surveys": ("title", "description")}


class Source(Protocol):
    """Incidents of an external system, and how the suite is to reach and read them."""

    #: also the name of its system
    name: str
    #: the module table that they go into, without prefix
    target: str
    #: body of `POST /connections`, less the system
    connection: Row
    #: `source_table` and the `sync` of the mapping
    source_table: str
    sync: Row
    #: what a grant permits
    permissions: Row
    #: the route, and what a module asks there for the incident of number 3
    question: tuple[str, Row]

    @property
    def is_incremental(self) -> bool:
        """Whether a sync goes on where the last one ended."""
        ...

    def put(self, number: int, title: str, day: str, changed: str) -> None:
        """Makes or changes an incident; `changed` is UTC, as `2026-01-01 00:00:00`."""
        ...

    def remove(self, number: int) -> None:
        """Deletes an incident."""
        ...

    def close(self) -> None:
        """Removes it."""
        ...


@dataclass
class TableOfIncidents:
    """A table `incidents`, with a column that nobody may see, beside a table `secrets`."""

    name: str
    target: str
    external: External
    moment: str = "VARCHAR(32)"
    connection: Row = field(default_factory=dict)
    source_table: str = "incidents"
    is_incremental: bool = True

    def __post_init__(self) -> None:
        known = self.external.connection
        self.connection = {"connection_type": "database", "db_driver": known.db_driver, "db_name": known.db_name}
        if known.db_driver != "sqlite":
            self.connection |= {
                "db_host": known.db_host,
                "db_port": known.db_port,
                "db_username": known.db_username,
                "db_password": known.db_password,
                "config_json": LOOPBACK,
            }
        self.external.execute(
            f"CREATE TABLE incidents (id BIGINT PRIMARY KEY, title VARCHAR(100) NOT NULL, day DATE,"
            f" changed {self.moment} NOT NULL, informer VARCHAR(50));\n"
            "CREATE INDEX ix_changed ON incidents (changed, id);\n"
            "CREATE TABLE secrets (id BIGINT PRIMARY KEY)"
        )
        self.sync: Row = {"cursor_field": "changed", "page_size": 3}
        columns = ["id", "title", "day", "changed"]
        self.permissions: Row = {"tables": ["incidents"], "columns": {"incidents": columns}}
        asked = {"query": "SELECT id, title FROM incidents WHERE id = :id", "params": {"id": 3}}
        self.question: tuple[str, Row] = "/query/database", asked

    def put(self, number: int, title: str, day: str, changed: str) -> None:
        """See Source."""
        self.remove(number)
        values: tuple[Any, ...] = (number, title, day, changed)
        if self.external.connection.db_driver != "sqlite":
            values = number, title, date.fromisoformat(day), datetime.fromisoformat(changed)
        self.external.insert("incidents (id, title, day, changed)", [values])

    def remove(self, number: int) -> None:
        """See Source."""
        self.external.execute(f"DELETE FROM incidents WHERE id = {number}")

    def close(self) -> None:
        """See Source."""
        self.external.close()


AUTHENTICATIONS: dict[str, Row] = {
    "none": {},
    "basic": {"config_json": {"username": USER, "password": PASSWORD}},
    "bearer": {"api_auth_token": TOKEN},
    "apikey": {"api_auth_token": TOKEN, "config_json": {"api_key_header": "X-Other-Key"}},
    "oauth2": {"config_json": {"oauth2_client_id": CLIENT_ID, "oauth2_client_secret": CLIENT_SECRET}},
}
GRAPH = "query($after: String, $size: Int) { items(after: $after, size: $size) { nodes after more } }"
_SINCE = {"cursor_field": "changed", "cursor_param": "since", "page_size": 3}
PAGINATIONS: dict[str, Row] = {
    "single_page": {"endpoint": "items", "sync": {**_SINCE, "pagination": {"kind": "single_page"}}},
    "json_link": {
        "endpoint": "items/link",
        "sync": {**_SINCE, "records": "data.items", "params": {"size": 3}, "pagination": {"kind": "json_link"}},
    },
    "header_link": {
        "endpoint": "items/header",
        "sync": {**_SINCE, "params": {"size": 3}, "pagination": {"kind": "header_link"}},
    },
    "offset": {"endpoint": "items/offset", "sync": {**_SINCE, "pagination": {"kind": "offset"}}},
    "page_number": {
        "endpoint": "items/page",
        "sync": {
            **_SINCE,
            "records": "results",
            "pagination": {
                "kind": "page_number",
                "size_param": "size",
                "total_path": None,
                "has_more_path": "meta.more",
            },
        },
    },
    "cursor": {
        "endpoint": "items/cursor",
        "sync": {**_SINCE, "params": {"size": 3}, "pagination": {"kind": "cursor", "cursor_path": "cursors.next"}},
    },
    "graphql": {
        "endpoint": "graphql",
        "sync": {
            "records": "data.items.nodes",
            "body": {"query": GRAPH, "variables": {"size": 3}},
            "pagination": {
                "kind": "cursor",
                "cursor_path": "data.items.after",
                "cursor_body_path": "variables.after",
                "has_more_path": "data.items.more",
            },
        },
        "data": {"query": GRAPH, "variables": {"size": 100}},
    },
    "soap": {
        "below": "/soap",
        "endpoint": "urn:GetItems",
        "sync": {"records": "ItemsResponse.Item", "body": {"m:GetItems": {"@xmlns:m": "urn:items"}}},
        "data": {"m:GetItems": {"@xmlns:m": "urn:items"}},
    },
}


@dataclass
class PagesOfIncidents:
    """A list of an API's, behind credentials."""

    name: str
    target: str
    api: ExternalApi
    pagination: str
    authentication: str
    connection: Row = field(default_factory=dict)

    def __post_init__(self) -> None:
        pages, given = PAGINATIONS[self.pagination], AUTHENTICATIONS[self.authentication]
        options = {**LOOPBACK, **given.get("config_json", {})}
        if self.authentication == "oauth2":
            options["oauth2_token_url"] = f"{self.api.url}/token"
        self.connection = {
            "connection_type": self.pagination if self.pagination in ("graphql", "soap") else "rest",
            "api_base_url": f"{self.api.url}/as/{self.authentication}{pages.get('below', '')}",
            "api_auth_type": self.authentication,
            **given,
            "config_json": options,
        }
        self.source_table: str = pages["endpoint"]
        self.sync: Row = pages["sync"]
        path = "/" + self.source_table.strip("/")
        self.permissions: Row = {"endpoints": [path]}
        asked = {"endpoint": self.source_table, "method": "GET"}
        self.question: tuple[str, Row] = "/query/api", asked | ({"data": pages["data"]} if "data" in pages else {})

    @property
    def is_incremental(self) -> bool:
        """See Source."""
        return "cursor_field" in self.sync

    def put(self, number: int, title: str, day: str, changed: str) -> None:
        """See Source."""
        record = {"id": number, "title": title, "day": day, "changed": changed.replace(" ", "T") + "Z"}
        self.api.records = [*(one for one in self.api.records if one["id"] != number), record]

    def remove(self, number: int) -> None:
        """See Source."""
        self.api.records = [one for one in self.api.records if one["id"] != number]

    def close(self) -> None:
        """See Source."""
        self.api.stop()


def post(suite: Suite, path: str, body: Row) -> Row:
    """What the suite answers an admin; AssertionError for anything but 200."""
    response = suite.request("POST", path, json=body)
    assert response.status_code == 200, response.text
    answer: Row = response.json()
    return answer


async def configure(suite: Suite, source: Source, mapping: str, module: str, *, more: Mapping[str, Any] = {}) -> None:
    """Tells the suite of the source by HTTP; `module` gets a grant to read and write. Waits until pull knows it."""
    system = source.name
    post(suite, "/systems", {"system_name": system, "display_name": system, "system_type": "hybrid"})
    post(suite, "/connections", {"system": system, **source.connection})
    post(
        suite,
        "/mappings",
        {
            "system": system,
            "mapping_name": mapping,
            "source_table": source.source_table,
            "target_table": PREFIX + source.target,
            "mapping_config": {**TARGETS[source.target], "sync": source.sync, **more},
            "sync_frequency": "manual",
        },
    )
    grant = {"module_name": module, "system": system, "access_type": "read_write"}
    post(suite, "/grants", {**grant, "query_permissions": source.permissions})
    await known(suite, system, mapping)


async def configure_by_sql(
    suite: Suite, source: Source, mapping: str, module: str, *, more: Mapping[str, Any] = {}
) -> None:
    """The same by SQL, as the seed document does it."""
    values = {
        "external_systems": {"system_name": source.name, "display_name": source.name, "system_type": "hybrid"},
        "external_system_connections": source.connection,
        "module_system_mappings": {
            "module_name": module,
            "access_type": "read_write",
            "query_permissions": source.permissions,
        },
        # Last, since it is what is waited for.
        "external_data_mappings": {
            "mapping_name": mapping,
            "source_table": source.source_table,
            "target_table": PREFIX + source.target,
            "mapping_config": {**TARGETS[source.target], "sync": source.sync, **more},
            "sync_frequency": "manual",
        },
    }
    number: Row = {}
    for table, columns in values.items():
        insert(suite, table, {**columns, **number})
        if not number:
            (row,) = suite.rows(table, "system_name = %s", [source.name], owner="registry")
            number = {"system_id": row["id"]}
    await known(suite, source.name, mapping)


def insert(suite: Suite, table: str, columns: Row) -> None:
    """Inserts a row into a table of registry's, from outside; what is no plain value as JSON."""
    texts = [json.dumps(value) if isinstance(value, dict) else value for value in columns.values()]
    marks = ", ".join(["%s"] * len(columns))
    suite.sql("registry", f"INSERT INTO {PREFIX}{table} ({', '.join(columns)}) VALUES ({marks})", texts)


async def known(suite: Suite, system: str, mapping: str) -> None:
    """Waits until pull knows the mapping."""
    asked = {"system": system, "mapping": mapping}
    await eventually(lambda: suite.request("GET", "/sync/cursor", params=asked).status_code == 200)
