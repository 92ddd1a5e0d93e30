"""A file of a configuration that has a bit of everything: each way to verify webhooks, a sync, an API, grants."""

import base64
from dataclasses import dataclass

from canaries import canary
from suite import PREFIX

SCHEMES = ("secret", "github", "stripe", "shopify", "slack", "hmac")

_SCHEME = """\
---
version: 1
systems:
  - system_name: SYSTEM SCHEME
    description: |
      no
        : $${SCHEME}
connections:
  - system: SYSTEM SCHEME
    name: hooks
    connection_type: api
    config_json:
      webhook_auth: SCHEME
      webhook_secret: ${WEBHOOK_SECRET}
"""
_HMAC = "      webhook_hmac: {header: X-Signature, signed: '{body}', replay: refuse_same_body}\n"
_REST = """\
---
version: 1
systems:
  - system_name: SYSTEM standard
  - system_name: SYSTEM none
connections:
  - system: SYSTEM standard
    name: hooks
    connection_type: api
    config_json: {webhook_auth: standard-webhooks, webhook_secret: "${STANDARD}"}
  - system: SYSTEM none
    name: hooks
    connection_type: api
    config_json: {webhook_auth: none, rate_limit: {per_second: 5}}
  - system: SYSTEM secret
    name: archive
    connection_type: database
    db_driver: postgresql
    db_host: db.example
    db_port: 5432
    db_name: x
    db_username: u
    db_password: ${PASSWORD}
    config_json: {tls: require}
  - system: SYSTEM secret
    name: api
    connection_type: graphql
    api_base_url: https://api.example/v1
    api_auth_type: apikey
    api_auth_token: ${KEY}
    is_active: false
    config_json:
      headers: {X-Other-Key: "${KEY}", Accept: application/json}
      accounts: [{user: u, password: "${PASSWORD}"}]
mappings:
  - system: SYSTEM secret
    mapping_name: arrives
    target_table: TABLE
    sync_frequency: realtime
    mapping_config:
      field_mappings: {title: event_title, date: date}
      filter: type = 'x'
  - system: SYSTEM secret
    mapping_name: read
    target_table: TABLE
    source_table: cases
    is_active: false
    mapping_config:
      field_mappings: {name: event_title, at: date}
      constants: {description: "0777"}
      sync: {connection: archive, cursor_field: changed, lookback_seconds: 60}
grants:
  - {module_name: events, system: SYSTEM secret, access_type: read_write, expires_at: "2031-01-31T12:00:00+08:00"}
  - {module_name: surveys, system: SYSTEM secret, query_permissions: [cases, /cases/*]}
  - module_name: other
    system: SYSTEM secret
    query_permissions: {tables: [cases], max_rows: 5}
    is_active: false
"""

PARTS = 8 + 10 + 2 + 3
CREDENTIALS = 11


@dataclass(frozen=True, slots=True)
class Sample:
    """A file, and what must be set before it is applied."""

    text: str
    variables: dict[str, str]

    def value(self, at: str, title: str) -> str:
        """The credential at a place of a connection, as an export names both."""
        if title.endswith("standard/hooks"):
            return self.variables["STANDARD"]
        if at.endswith("password"):
            return self.variables["PASSWORD"]
        return self.variables["KEY" if title.endswith("/api") else "WEBHOOK_SECRET"]


def sample(system: str) -> Sample:
    """The file for systems whose names begin so."""
    texts = [_SCHEME.replace("SCHEME", scheme) + (_HMAC if scheme == "hmac" else "") for scheme in SCHEMES]
    text = "".join([*texts, _REST]).replace("SYSTEM", system).replace("TABLE", f"{PREFIX}events")
    variables = {name: canary(f"{system} {name}") for name in ("WEBHOOK_SECRET", "PASSWORD", "KEY")}
    standard = base64.b64encode(canary(f"{system} standard").encode()).decode()
    return Sample(text, {**variables, "STANDARD": f"whsec_{standard}"})
