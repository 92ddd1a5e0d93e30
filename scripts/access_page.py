"""Render docs/access.md: who may call which method, from the access option of every method in the contracts."""

import importlib
from collections.abc import Iterator

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2

from contract_comments import CONTRACTS
from intertie.api.v1 import options_pb2
from intertie_chassis import reflection

#: the process that serves each service
PROCESSES = {
    "RegistryService": "registry",
    "ConfigurationService": "registry",
    "SecretsService": "registry",
    "RegistryFeed": "registry",
    "IdentityFeed": "registry",
    "IngestService": "ingest",
    "RecordQueue": "ingest",
    "QueryService": "pull",
    "SyncService": "pull",
    "MapperService": "mapper",
    "AuditService": "audit",
}
#: for each of a person's roles, the roles whose methods it may call
PEOPLE = {
    "admin": ("ROLE_ADMIN", "ROLE_OPERATOR", "ROLE_VIEWER"),
    "operator": ("ROLE_OPERATOR", "ROLE_VIEWER"),
    "viewer": ("ROLE_VIEWER",),
}
GRANTS = {
    "GRANT_NEED_UNSPECIFIED": "yes",
    "GRANT_NEED_READ": "grant to read",
    "GRANT_NEED_WRITE": "grant to write",
    "GRANT_NEED_AS_ASKED": "grant for what it asks",
    "GRANT_NEED_OWN": "about itself",
}
NO = "–"

HEAD = """\
# Who may do what

Generated from the contracts by `make generate`; do not edit. Every change of access is a change of this page, and the
tests call each method of the running services as each kind of caller and hold what happens against these tables.

**The default is denial.** A method lets in whom its contract names (`option (intertie.api.v1.access)`), and a method
whose contract names nobody lets in nobody. The check stands in one place before every handler of every service, so the
gateway lets through neither more nor less than a direct call. A caller without a valid token is answered
`UNAUTHENTICATED` (401), one whose role is not named `PERMISSION_DENIED` (403); neither learns what the method would
have said.

## Roles

A caller is whom its token (or, between services, its certificate) says, never what a request or a header says.

| role | who |
|---|---|
| `admin` | runs the installation: all that an operator may, and what changes who may do what |
| `operator` | configures systems and looks after deliveries: all that a viewer may, and changes |
| `viewer` | looks, and changes nothing; sees no credential |
| `module:<name>` | an internal module, bounded by its grants besides |
| `service:<name>` | a service of the suite: registry, ingest, pull, mapper, audit or gateway |

## Objects: what bounds a module

What a module may reach is an external system, and on it only what its [grant](grants.md) says. The column *module* says
what a method asks of it:

| in the tables | a module may call the method |
|---|---|
| grant to read | for a system on which it has a grant to `read` (or `read_write`) |
| grant to write | for a system on which it has a grant to `write` (or `read_write`) |
| grant for what it asks | for a system on which it has a grant to read, or to write, as the statement or the HTTP \
method does; the grant's `query_permissions` bound it further |
| about itself | and is answered about its own grants alone; another module's name is refused |

A grant counts while it is active, has not ended (`expires_at`) and its system is active. It is looked at in each call,
and in a stream of answers for each part. Without one a module is answered the same for a system that exists as for one
that does not.

## Routes that stand in no contract

| route | who |
|---|---|
| `POST /api/v1/integrations/webhook/{system}` | whoever proves to be the system, by the secret or signature of its \
connection |
| `POST /api/v1/integrations/push` | tokens as for `Push` below; without a token as a webhook; from the loopback \
without either where the connection says `"push_auth": "none"` |
| `GET /healthz`, `/readyz`, `/openapi.json`, `/docs` | everybody |

"""

EVERYWHERE = """\
## Every service

| method | who |
|---|---|
"""

COLUMNS = ("method", *PEOPLE, "module", "services", "HTTP")


def services() -> Iterator[ServiceDescriptor]:
    """Every service in the contracts, in the order of PROCESSES. Raises KeyError for one that is not there."""
    found: dict[str, ServiceDescriptor] = {}
    for path in sorted((CONTRACTS / "intertie").rglob("*.proto")):
        name = ".".join(path.relative_to(CONTRACTS).with_suffix("").parts)
        file = importlib.import_module(f"{name}_pb2").DESCRIPTOR
        found |= {service.name: service for service in file.services_by_name.values()}
    yield from sorted(found.values(), key=lambda service: list(PROCESSES).index(service.name))


def render() -> str:
    """Give the page's text."""
    parts = [HEAD, EVERYWHERE]
    health = health_pb2.DESCRIPTOR.services_by_name["Health"]
    parts += [f"| `{health.full_name}/{method.name}` | everybody, without a token |\n" for method in health.methods]
    parts += [f"| `{path[1:]}` | every token |\n" for path in reflection.PATHS]
    for service in services():
        parts.append(f"\n## {service.name}\n\n`{service.full_name}`, served by {PROCESSES[service.name]}.\n\n")
        parts.append(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n")
        parts += [f"| {' | '.join(row(method))} |\n" for method in service.methods]
    return "".join(parts)


def row(method: MethodDescriptor) -> list[str]:
    """The method's cells."""
    access = method.GetOptions().Extensions[options_pb2.access]
    roles = {options_pb2.Role.Name(role) for role in access.roles}
    people = ["yes" if roles & set(included) else NO for included in PEOPLE.values()]
    module = GRANTS[options_pb2.GrantNeed.Name(access.grant)] if "ROLE_MODULE" in roles else NO
    named = ", ".join(f"`{name}`" for name in access.services) or "all"
    return [f"`{method.name}`", *people, module, named if "ROLE_SERVICE" in roles else NO, _http(method) or NO]


def _http(method: MethodDescriptor) -> str:
    """The routes, one below the other."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    shown = []
    for binding in (rule, *rule.additional_bindings):
        verb = binding.WhichOneof("pattern")
        if verb is not None:
            shown.append(f"`{verb.upper()} {getattr(binding, verb)}`")
    return "<br>".join(shown)
