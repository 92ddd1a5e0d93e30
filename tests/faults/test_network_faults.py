"""The network between any two processes is late, cuts connections or goes silent: nothing is lost, nothing is doubled.

All addresses of the suite, and the database's, lead through ways that a test can harm for one client at a time. The
short form tries the pairs where an answer is at stake, the long one all of them.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import pytest

import fault_checker
import fault_form
import load
import requirement
from ledger import Ledger
from mariadb import MariaDBServer
from suite import SERVICES, Suite
from toxic import BLACKHOLE, LATENCY, RESET, SLOW, Fault, Network, Way
from waiting import eventually

PAIRS = (
    ("gateway", "ingest"),
    ("ingest", "registry"),
    ("ingest", "audit"),
    ("mapper", "ingest"),
    ("mapper", "registry"),
    ("mapper", "audit"),
)
FAULTS = (LATENCY, SLOW, RESET, BLACKHOLE)
SHORT = (
    ("gateway", "ingest", RESET),
    ("gateway", "ingest", BLACKHOLE),
    ("mapper", "ingest", RESET),
    ("mapper", "audit", LATENCY),
    ("", "database", RESET),
    ("", "database", BLACKHOLE),
)
LONG = tuple((*pair, fault) for pair in (*PAIRS, ("", "database")) for fault in FAULTS)
CASES = [
    pytest.param(*case, id=f"{case[0] or 'all'}-{case[1]}-{case[2].name}") for case in fault_form.either(SHORT, LONG)
]
#: in the long form beyond the deadlines of all calls, so that who waits is told
SILENCE_SECONDS = fault_form.either(7.0, 20.0)
SHAPE = load.Shape(entities=20, hang_ups=0, misfits=0)


@dataclass
class Wired:
    """A suite whose processes reach each other, and the database, by ways of a network."""

    store: str
    suite: Suite
    ways: dict[str, Way]
    ledger: Ledger


@pytest.fixture(scope="module", params=fault_form.stores("mariadb"))
def wired(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _mariadb_if_here: MariaDBServer | None
) -> Iterator[Wired]:
    """One suite a store for all tests of this file: each waits until all is well again."""
    store, url = request.param, None
    if store == "mariadb":
        if _mariadb_if_here is None:
            requirement.missing("mariadb", "install mariadb-server")
        url = _mariadb_if_here.url(_mariadb_if_here.create_database())
    directory = tmp_path_factory.mktemp(f"network-{store}")
    suite = Suite(directory / "suite", url, {"INTERTIE_MAPPER_LEASE_SECONDS": "10"})
    with Network() as network, Ledger(directory / "ledger.jsonl") as ledger:
        ways: dict[str, Way] = {}
        for service in SERVICES:
            port = int(suite.env[f"INTERTIE_{service.upper()}_LISTEN"].rpartition(":")[2])
            ways[service] = network.way(port)
            suite.env[f"INTERTIE_{service.upper()}_ADDRESS"] = f"127.0.0.1:{ways[service].port}"
        if url is not None:
            port = urlsplit(url).port or 0
            ways["database"] = network.way(port)
            suite.env["INTERTIE_DATABASE_URL"] = url.replace(f":{port}/", f":{ways['database'].port}/")
        try:
            suite.start()
            load.configure(suite)
            yield Wired(store, suite, ways, ledger)
        finally:
            suite.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("client", "server", "fault"), CASES)
async def test_a_bad_network_loses_and_doubles_nothing(wired: Wired, client: str, server: str, fault: Fault) -> None:
    """Under the fault senders are answered within 15 s, 202 or to come again; after it all that was accepted lands."""
    if server not in wired.ways:
        pytest.skip("no network leads to an embedded database")
    suite, way = wired.suite, wired.ways[server]
    seed, started = fault_form.seed(), time.monotonic()
    name = f"{client or 'all'}-{server}-{fault.name}"
    sender = load.Client(suite.port, load.Traffic(random.Random(seed), SHAPE, name), wired.ledger, rate=30.0)
    sending = asyncio.create_task(sender.run())
    try:
        await eventually(lambda: sender.statuses[202] >= 10, timeout=30)
        # In threads: what is told to the network must not keep the senders waiting.
        await asyncio.to_thread(way.harm, fault, f"intertie_{client}" if client else "")
        await eventually(lambda: way.met > 0, timeout=30)
        lasts = SILENCE_SECONDS if fault.swallows else fault_form.either(2.0, 5.0)
        await asyncio.sleep(lasts)  # the fault's length is what is tried, nothing is waited for
    finally:
        await asyncio.to_thread(way.heal)
        healed = time.monotonic()
        sender.stop()
        await sending
    await sender.send_left()
    await fault_checker.drained(suite, timeout=60)
    findings = await asyncio.to_thread(fault_checker.check, suite, wired.ledger)
    fault_form.publish(
        f"network, {wired.store}: {name}",
        seed=seed,
        statuses=dict(sender.statuses),
        slowest=round(max(one.seconds for one in wired.ledger if one.key.startswith(name)), 1),
        well_again_after=round(time.monotonic() - healed, 1),
        seconds=round(time.monotonic() - started, 1),
        **asdict(findings),
    )
    assert not findings.faults
    assert not sender.wrong
    assert not sender.statuses[0], "a sender got no answer"
