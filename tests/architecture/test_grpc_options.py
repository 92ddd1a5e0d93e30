"""Options of channels and servers: grpc passes over names that it does not know, without a word."""

import re
from importlib.util import find_spec
from pathlib import Path

from source_tree import ROOT

OPTION = re.compile(r"""\(["'](grpc\.[a-z0-9_.]+)["'],""")


def test_every_option_is_one_that_grpc_knows() -> None:
    core = find_spec("grpc._cython.cygrpc")
    assert core is not None
    assert core.origin is not None
    known = Path(core.origin).read_bytes()
    named = {
        name
        for folder in ("chassis", "services", "gateway", "cli", "client")
        for file in (ROOT / folder).rglob("src/**/*.py")
        for name in OPTION.findall(file.read_text(encoding="utf-8"))
    }

    assert "grpc.keepalive_time_ms" in named
    assert {name for name in named if name.encode() + b"\0" not in known} == set()
