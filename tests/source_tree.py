"""The repository's Python files, parsed once: what the architecture tests look at."""

import ast
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("registry", "ingest", "mapper", "audit")
#: the folder of each distribution, by the name under which it is imported
DISTRIBUTIONS = {
    "intertie": ROOT / "protos",
    "intertie_chassis": ROOT / "chassis",
    "intertie_mapping": ROOT / "mapping",
    **{f"intertie_{service}": ROOT / "services" / service for service in SERVICES},
    "intertie_gateway": ROOT / "gateway",
    "intertie_cli": ROOT / "cli",
    "intertie_client": ROOT / "client",
}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One Python file of a distribution, or of tests, scripts or benchmarks (whose package is that folder's name)."""

    package: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def name(self) -> str:
        """The path from the repository's root."""
        return str(self.path.relative_to(ROOT))

    @property
    def generated(self) -> bool:
        """Whether protoc wrote it."""
        return self.path.stem.endswith(("_pb2", "_pb2_grpc"))

    @property
    def nouns(self) -> frozenset[str]:
        """What the file is about: its name and those of its folders in the package, and the last word of each.

        ``intertie_registry/migrations/versions/first.py`` is about migrations, ``link_store.py`` is a store.
        """
        home = DISTRIBUTIONS[self.package] / "src" / self.package if self.package in DISTRIBUTIONS else ROOT
        parts = self.path.relative_to(home).with_suffix("").parts
        return frozenset(word for part in parts for word in (part, part.rsplit("_", 1)[-1]))

    def imports(self) -> set[str]:
        """Name every module that the file imports, anywhere in it, as absolute dotted names."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = node.module if node.level == 0 else self._resolve(node)
                # `from intertie.api.v1 import errors_pb2` imports a module, `from orjson import loads` a name: the
                # longer spelling serves both, since rules look at its beginning or at a _pb2 in it.
                found |= {f"{module}.{alias.name}" for alias in node.names}
        return found

    def third_party(self) -> set[str]:
        """Give the first part of each import that is neither the standard library's nor ours."""
        tops = {name.split(".")[0] for name in self.imports()}
        return {top for top in tops if top not in sys.stdlib_module_names and top not in DISTRIBUTIONS}

    def ours(self) -> set[str]:
        """Give the imports of our own distributions, without those of the file's own."""
        return {name for name in self.imports() if (top := name.split(".")[0]) in DISTRIBUTIONS and top != self.package}

    def _resolve(self, node: ast.ImportFrom) -> str:
        source = DISTRIBUTIONS[self.package] / "src"
        folder = self.path.parent
        for _ in range(node.level - 1):
            folder = folder.parent
        return ".".join([*folder.relative_to(source).parts, *([node.module] if node.module else [])])


def _parse(package: str, path: Path) -> SourceFile:
    text = path.read_text(encoding="utf-8")
    return SourceFile(package, path, ast.parse(text, str(path)), len(text.splitlines()))


@cache
def distributed_files() -> tuple[SourceFile, ...]:
    """Parse every .py file that is part of a distribution, generated ones too."""
    return tuple(
        _parse(package, path)
        for package, home in DISTRIBUTIONS.items()
        for path in sorted((home / "src" / package).rglob("*.py"))
    )


@cache
def hand_written_files() -> tuple[SourceFile, ...]:
    """Parse every .py file that people write: the distributions' without generated code, tests, scripts, benchmarks."""
    around = [
        _parse(folder, path)
        for folder in ("tests", "scripts", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    return tuple(file for file in distributed_files() if not file.generated) + tuple(around)
