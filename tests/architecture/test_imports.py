"""Who may import what. The table below is the rule; ARCHITECTURE.md only explains it."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import packages_distributions

import pytest

from source_tree import DISTRIBUTIONS, SERVICES, SourceFile, distributed_files

SERVICE_PACKAGES = {f"intertie_{service}" for service in SERVICES}
SQL_LIBRARIES = ("sqlalchemy", "alembic", "asyncmy", "aiosqlite", "asyncpg", "sqlglot")
#: files that speak SQL, by what they are about; the folder databases speaks it with the databases of others
SQL_NOUNS = {"store", "tables", "migrations", "adopt", "adoption", "databases"}
#: ingest's folders that only its process pull loads
PULL_NOUNS = {"pull", "apis", "databases", "syncs"}
#: the same in chassis; command tells the person at the terminal, and nobody else, what the database refused
CHASSIS_DATABASE_NOUNS = {
    *("database", "database_errors", "schema_turns"),
    *("direct", "many_rows", "numbered_rows", "bulk_cursor", "mysql", "sqlite", "sqlite_connection"),
}
CHASSIS_SQL_NOUNS = {*CHASSIS_DATABASE_NOUNS, "outbox", "migrations", "adoption", "existing", "command"}
#: files of a service that know protobuf, by what they are about; __main__ gives the server the generated registration
CONTRACT_NOUNS = {"convert", "service", "clients", "client", "__main__"}
#: files of a service that compute and touch nothing
PURE_NOUNS = {
    "model",
    "signatures",
    *("signature_ed25519", "signature_gate", "signature_options", "signature_schemes"),
    "answers",
    "handshakes",
    "chain",
}


#: files of the client that decide and send nothing
CLIENT_PURE_NOUNS = {
    *("documents", "errors", "models", "operations", "plans", "pushes", "questions", "reading", "retries"),
    *("statements", "waits"),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A claim about some files, and which of a file's imports break it."""

    claim: str
    about: Callable[[SourceFile], bool]
    broken_by: Callable[[SourceFile], set[str]]


def in_package(*packages: str) -> Callable[[SourceFile], bool]:
    """Select the files of these distributions."""
    return lambda file: file.package in packages


def a_service(file: SourceFile) -> bool:
    """Select the files of the four services."""
    return file.package in SERVICE_PACKAGES


def pure(file: SourceFile) -> bool:
    """Select what computes and touches nothing: all of mapping, the services' pure files, and the chain's format."""
    is_format = file.package == "intertie_chassis" and "chain_format" in file.nouns
    is_pure = a_service(file) and bool(file.nouns & PURE_NOUNS) and "migrations" not in file.nouns
    return is_format or is_pure or file.package == "intertie_mapping"


def ours_but(*allowed: str) -> Callable[[SourceFile], set[str]]:
    """Every import of our own distributions, other than these packages and what is in them."""
    return lambda file: {
        name for name in file.ours() if not any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed)
    }


def third_party_but(*allowed: str) -> Callable[[SourceFile], set[str]]:
    """Every import of other people's packages, other than these."""
    return lambda file: file.third_party() - set(allowed)


def third_party(*forbidden: str) -> Callable[[SourceFile], set[str]]:
    """Imports of these packages of other people."""
    return lambda file: file.third_party() & set(forbidden)


def contract_modules(file: SourceFile) -> set[str]:
    """Imports of generated code, ours or Google's."""
    return {name for name in file.imports() if any(part.endswith(("_pb2", "_pb2_grpc")) for part in name.split("."))}


def pulling(file: SourceFile) -> set[str]:
    """Imports of ingest's folders that belong to pull."""
    folders = tuple(f"intertie_ingest.{noun}." for noun in PULL_NOUNS)
    return {name for name in file.imports() if name.startswith(folders)}


def more_than_one_library(file: SourceFile) -> set[str]:
    """The third-party packages of a file that has more than its one special one."""
    libraries = file.third_party()
    return libraries if len(libraries) > 1 else set()


RULES = (
    Rule("contracts import only google and grpc", in_package("intertie"), third_party_but("google", "grpc")),
    Rule("contracts import nothing else of ours", in_package("intertie"), ours_but()),
    Rule("chassis knows no service", in_package("intertie_chassis"), ours_but("intertie.api.v1")),
    Rule("mapping imports nothing of ours", in_package("intertie_mapping"), ours_but()),
    Rule(
        "a service imports contracts, chassis and mapping, never another service",
        a_service,
        ours_but("intertie", "intertie_chassis", "intertie_mapping"),
    ),
    Rule(
        "the gateway imports contracts and chassis, never a service",
        in_package("intertie_gateway"),
        ours_but("intertie", "intertie_chassis"),
    ),
    Rule("the client imports contracts, never a server's code", in_package("intertie_client"), ours_but("intertie")),
    Rule("the client needs gRPC and protobuf alone", in_package("intertie_client"), third_party_but("google", "grpc")),
    Rule(
        "what the client decides knows no gRPC",
        lambda file: file.package == "intertie_client" and bool(file.nouns & CLIENT_PURE_NOUNS),
        third_party("grpc"),
    ),
    Rule(
        "the gateway has no database", in_package("intertie_gateway"), third_party("sqlalchemy", "asyncmy", "aiosqlite")
    ),
    Rule(
        "in a service only store, tables, migrations and ingest's databases speak SQL",
        lambda file: a_service(file) and not file.nouns & SQL_NOUNS,
        third_party(*SQL_LIBRARIES),
    ),
    Rule(
        "in chassis only database, outbox, migrations, adoption and command speak SQL",
        lambda file: file.package == "intertie_chassis" and not file.nouns & CHASSIS_SQL_NOUNS,
        third_party(*SQL_LIBRARIES),
    ),
    Rule(
        "in a service only convert, service and clients know protobuf",
        lambda file: a_service(file) and not file.nouns & CONTRACT_NOUNS,
        contract_modules,
    ),
    Rule(
        "accepting deliveries loads nothing of pulling",
        lambda file: file.package == "intertie_ingest" and not file.nouns & PULL_NOUNS,
        pulling,
    ),
    Rule(
        "only ingest's apis and egress speak HTTP with external systems",
        lambda file: a_service(file) and not file.nouns & {"apis", "egress"},
        third_party("httpx", "httpcore", "authlib"),
    ),
    Rule("a pure file imports no grpc, no SQL, no HTTP", pure, third_party("grpc", "sqlalchemy", "httpx", "uvicorn")),
    Rule(
        "a pure file imports nothing of ours but mapping and the chain's format",
        pure,
        ours_but("intertie_mapping", "intertie_chassis.chain_format"),
    ),
    Rule("a pure file has one special library at most", pure, more_than_one_library),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.claim.replace(" ", "-"))
def test_rule(rule: Rule) -> None:
    """No file imports what the rule keeps from it."""
    broken = {file.name: sorted(rule.broken_by(file)) for file in distributed_files() if rule.about(file)}
    assert {name: imports for name, imports in broken.items() if imports} == {}


@pytest.mark.parametrize("package", DISTRIBUTIONS)
def test_declares_what_it_imports(package: str) -> None:
    """A distribution's pyproject names every package that it imports: in a shared environment none is ever missing."""
    project = tomllib.loads((DISTRIBUTIONS[package] / "pyproject.toml").read_text())["project"]
    declared = {_normalised(requirement) for requirement in [project["name"], *project.get("dependencies", ())]}
    providers = packages_distributions()

    undeclared: dict[str, set[str]] = {}
    for file in distributed_files():
        if file.package != package:
            continue
        for name in file.third_party() | {name.split(".")[0] for name in file.ours()}:
            own = f"intertie-{name.removeprefix('intertie_')}" if name != "intertie" else "intertie-protos"
            names = {own} if name in DISTRIBUTIONS else {_normalised(provider) for provider in providers.get(name, ())}
            if not names & declared:
                undeclared.setdefault(name, set()).add(file.name)
    assert undeclared == {}


def _normalised(requirement: str) -> str:
    """`SQLAlchemy[asyncio]>=2.1` and `sqlalchemy` are one distribution."""
    name = requirement
    for end in "[<>=!~; ":
        name = name.split(end)[0]
    return name.lower().replace("_", "-").replace(".", "-")


def test_the_rules_see_the_files() -> None:
    """Each rule is about at least one file; a rule about none would hold by accident."""
    assert [rule.claim for rule in RULES if not any(rule.about(file) for file in distributed_files())] == []
