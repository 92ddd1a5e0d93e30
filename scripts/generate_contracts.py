"""Generate the Python code of the contracts into protos/src/; with --check, only say whether it is current.

Path = package = import: protos/intertie/registry/v1/registry.proto is imported as intertie.registry.v1.registry_pb2, so
protoc's absolute imports are right as they are and nothing is rewritten.
"""

import argparse
import filecmp
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "protos"
GENERATED = CONTRACTS / "src" / "intertie"
#: the googleapis-common-protos wheel puts google/api/*.proto here
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
PLUGINS = Path(sysconfig.get_path("scripts"))


def contracts() -> list[str]:
    """List our .proto files, relative to protos/."""
    return sorted(str(path.relative_to(CONTRACTS)) for path in (CONTRACTS / "intertie").rglob("*.proto"))


def generate(into: Path) -> None:
    """Write messages, stubs, servicers and their types below ``into``."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{CONTRACTS}", f"-I{SITE_PACKAGES}"]
    command += [f"--plugin={plugin}={PLUGINS / plugin}" for plugin in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    command += [f"--python_out={into}", f"--mypy_out=quiet:{into}", f"--grpc_python_out={into}"]
    # Everything of ours is grpc.aio; without only_async each stub would be typed as both kinds at once.
    command += [f"--mypy_grpc_out=quiet,only_async:{into}"]
    subprocess.run([*command, *contracts()], check=True, cwd=CONTRACTS)
    (into / "intertie" / "py.typed").touch()


def files(directory: Path) -> set[Path]:
    """List the generated files below ``directory``, relative to it."""
    return {
        path.relative_to(directory)
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences(fresh: Path) -> list[str]:
    """Name the files that are missing, left over or different in the checked-in code."""
    return sorted(
        str((GENERATED / path).relative_to(ROOT))
        for path in files(fresh) | files(GENERATED)
        if not (fresh / path).exists()
        or not (GENERATED / path).exists()
        or not filecmp.cmp(fresh / path, GENERATED / path, shallow=False)
    )


def main() -> int:
    """Generate, or with --check compare and return 1 when something is stale."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing; fail when the code is stale")
    check = arguments.parse_args().check

    with tempfile.TemporaryDirectory() as directory:
        generate(Path(directory))
        fresh = Path(directory) / "intertie"
        if check:
            stale = differences(fresh)
            for name in stale:
                print(f"stale: {name} (run `make generate`)")
            return 1 if stale else 0
        # Only what differs is touched, so that a running service or an editor sees no needless change.
        for name in differences(fresh):
            path = ROOT / name
            source = fresh / path.relative_to(GENERATED)
            if source.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, path)
            else:
                path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
