"""What docs/access.md promises, read back from the page: by this the tests judge what the running services do."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from source_tree import ROOT

PAGE = ROOT / "docs" / "access.md"
PEOPLE = ("admin", "operator", "viewer")
SERVICES = ("registry", "ingest", "pull", "mapper", "audit", "gateway")
_NO = "–"


@dataclass(frozen=True, slots=True)
class Promise:
    """A row of the page: one method, and whom it lets in."""

    service: str
    """Its full name."""
    process: str
    method: str
    people: frozenset[str]
    module: str
    """What is asked of a module, in the page's words; empty: modules are not let in."""
    services: frozenset[str]
    routes: tuple[tuple[str, str], ...]
    """HTTP method and path template of each."""

    @property
    def path(self) -> str:
        """The method's path in gRPC."""
        return f"/{self.service}/{self.method}"

    def admits(self, role: str) -> bool:
        """Whether a caller of the role (`viewer`, `module:events`, `service:pull`) is let in."""
        kind, _, name = role.partition(":")
        return {"module": bool(self.module), "service": name in self.services}.get(kind, kind in self.people)


def promises() -> Iterator[Promise]:
    """Every row of the page's tables of methods."""
    service = process = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if head := re.fullmatch(r"`([\w.]+)`, served by (\w+)\.", line):
            service, process = head.groups()
        elif line.startswith("| `") and service:
            method, *people, module, services, routes = (cell.strip(" ") for cell in line.strip("|").split("|"))
            names = SERVICES if services == "all" else re.findall(r"`(\w+)`", services)
            yield Promise(
                service,
                process,
                method.strip("`"),
                frozenset(role for role, cell in zip(PEOPLE, people, strict=True) if cell != _NO),
                "" if module == _NO else module,
                frozenset(names if services != _NO else ()),
                tuple(re.findall(r"`([A-Z]+) ([^`]+)`", routes)),
            )
