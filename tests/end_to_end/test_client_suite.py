"""Both clients against the running suite and its demo: every method, refusals, many records, kills and forks."""

import asyncio
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import victims
from client_rig import KINDS, Calling
from intertie_client import (
    Access,
    Client,
    DeadlineExceeded,
    DeliveryKeyReused,
    ExternalNotFound,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    QueryFailed,
    QueryNotPermitted,
)
from suite import Suite
from waiting import eventually

SYSTEM, MAPPING, ROADS = "law_enforcement", "incidents_to_events", "city_roads"
NewClient = Callable[..., Calling]
MANY = 10_000

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

FORKING = """
import os, sys
from intertie_client import Client

before = Client.from_env()
child = os.fork()
if not child:
    try:
        before.push("law_enforcement", "incidents_to_events", {"id": "of the parent"})
    except RuntimeError as error:
        assert "forked" in str(error), error
    else:
        os._exit(1)
    with Client.from_env() as own:
        own.push("law_enforcement", "incidents_to_events", {"id": "FORK-2", "title": "child", "date": "2026-05-01"})
    os._exit(0)
_, status = os.waitpid(child, 0)
before.push("law_enforcement", "incidents_to_events", {"id": "FORK-1", "title": "parent", "date": "2026-05-01"})
sys.exit(status)
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite of this file's own, with the demo."""
    running = Suite(tmp_path_factory.mktemp("client-demo")).start("--demo")
    yield running
    running.stop()


def environment(suite: Suite, role: str = "module:events") -> dict[str, str]:
    """What tells a client where the suite is, and who it is."""
    addresses = {name: value for name, value in suite.env.items() if name.endswith("_ADDRESS")}
    return {**addresses, "INTERTIE_TOKEN": suite.token(role)}


def arguments(suite: Suite, role: str = "module:events") -> dict[str, Any]:
    """The same, as arguments of a client."""
    services = {
        name: suite.env[f"INTERTIE_{name.upper()}_ADDRESS"] for name in ("registry", "ingest", "pull", "mapper")
    }
    return {**services, "token": suite.token(role)}


@pytest.fixture(params=KINDS)
async def new_client(request: pytest.FixtureRequest, demo: Suite) -> AsyncIterator[NewClient]:
    """Makes clients of the demo, of the kind whose turn it is; by default for its module."""
    made: list[Calling] = []

    def make(role: str = "module:events", **options: Any) -> Calling:
        made.append(Calling(request.param, **{**arguments(demo, role), **options}))
        return made[-1]

    yield make
    for calling in made:
        await calling("close")


async def test_what_is_pushed_lands_and_is_reported(new_client: NewClient, demo: Suite, request: Any) -> None:
    """Stored, in its row, in the cache as it came; the same again is a duplicate; a checkpoint keeps its report."""
    client, name = new_client(), f"PUSH-{request.node.callspec.id}"
    record = {"id": name, "title": "Burst pipe", "date": "2026-05-01", "size": 2**60 + 1, "cost": Decimal("12.10")}
    pushed = await client("push", SYSTEM, MAPPING, record, idempotency_key=f"key {name}")
    assert (pushed.system, pushed.mapping, pushed.external_id, pushed.duplicate) == (SYSTEM, MAPPING, name, False)
    again = await client("push", SYSTEM, MAPPING, record, idempotency_key=f"key {name}")
    assert (again.delivery_id, again.duplicate) == (pushed.delivery_id, True)
    with pytest.raises(DeliveryKeyReused):
        await client("push", SYSTEM, MAPPING, {**record, "title": "Other"}, idempotency_key=f"key {name}")

    landed = await client("wait_until_synced", pushed)
    assert (landed.data, landed.delivery_id, landed.revision) == (record, pushed.delivery_id, 1)
    assert b'"cost":12.10' in landed.raw
    (row,) = demo.rows("events", "id = %s", [landed.local_id])
    assert row["event_title"] == "Burst pipe"

    await client("record_checkpoint", "events", landed.local_id, SYSTEM, "sent", sent_data={"n": Decimal("1.50")})
    kept = await client("record_checkpoint", "events", landed.local_id, SYSTEM, "failed", error_message="it is away")
    assert (kept.status, kept.sent_data, kept.error_message) == ("failed", {"n": Decimal("1.50")}, "it is away")
    assert (kept.target_table, kept.target_id, kept.system) == ("campaign_department_events", landed.local_id, SYSTEM)


async def test_questions_are_answered(new_client: NewClient) -> None:
    """Rows with their types, all of them or some, and an API's JSON; what is at fault has a class of its own."""
    client = new_client()
    query = "SELECT id, title FROM closures WHERE id <= :most ORDER BY id"
    result = await client("query_database", ROADS, query, {"most": 3})
    assert (result.columns, [row["id"] for row in result], result.truncated) == (("id", "title"), [1, 2, 3], False)
    some = await client("query_database", ROADS, query, {"most": 3}, max_rows=2)
    assert (len(some), some.truncated) == (2, True)
    stream = client.client.stream_database(ROADS, "SELECT id FROM closures ORDER BY id", max_rows=11)
    assert [row["id"] for row in await client.taken(stream)] == list(range(1, 12))
    assert stream.truncated
    answer = await client("query_api", ROADS, "/works", data={"page_size": 2})
    assert (answer.status, [one["id"] for one in answer.data["works"]]) == (200, ["RW-201", "RW-202"])
    for expected, asked in (
        (QueryFailed, ("query_database", ROADS, "SELECT nothing FROM closures")),
        (QueryNotPermitted, ("query_database", ROADS, "DELETE FROM closures")),
        (QueryNotPermitted, ("query_api", ROADS, "/works", "POST", {})),
        (ExternalNotFound, ("query_api", ROADS, "/works/nothing")),
    ):
        with pytest.raises(expected) as error:
            await client(*asked)
        assert error.value.message
        assert error.value.request_id
    with pytest.raises(QueryFailed):
        await client.taken(client.client.stream_database(ROADS, "SELECT nothing FROM closures"))


async def test_a_sync_is_run_and_watched(new_client: NewClient) -> None:
    """To its end, or with an eye on it; then the cache has what the source has."""
    client = new_client()
    done = await client("run_sync", ROADS, "closures_to_events", "full")
    assert (done.state, done.mode, done.read, done.succeeded) == ("succeeded", "full", 12, True)
    run = await client("start_sync", ROADS, "closures_to_events", "full")
    assert run.run_id != done.run_id
    ended = await client.of(run, "wait")
    assert ended.has_ended
    assert await client("get_run", run.run_id) == ended == run.latest
    records = await client.taken(client.client.read_cache(ROADS, "closures_to_events", page_size=5))
    assert len(records) == 12
    assert [record.external_id for record in records] == sorted(record.external_id for record in records)
    one = await client.taken(client.client.read_cache(ROADS, external_id=records[3].external_id))
    assert one == [records[3]]
    with pytest.raises(InvalidArgument):
        await client("run_sync", ROADS, "closures_to_events", "sideways")


async def test_a_module_knows_what_it_may_and_may_no_more(new_client: NewClient) -> None:
    """A stranger learns nothing, neither of systems nor of runs."""
    client, stranger = new_client(), new_client("module:stranger")
    assert [(one.name, one.access) for one in await client("list_systems")] == [(ROADS, "read"), (SYSTEM, "read_write")]
    access = await client("check_access", ROADS)
    assert access
    assert access.query_permissions["tables"] == ["closures"]
    assert await client("check_access", ROADS, "write") == Access(False)
    assert await stranger("list_systems") == []
    assert not await stranger("check_access", SYSTEM)
    run = await client("run_sync", ROADS, "works_to_events")
    for refused in (
        ("push", SYSTEM, MAPPING, {"id": 1}),
        ("query_database", ROADS, "SELECT 1"),
        ("run_sync", ROADS, "works_to_events"),
        ("record_checkpoint", "events", 1, SYSTEM, "sent"),
    ):
        with pytest.raises(PermissionDenied):
            await stranger(*refused)
    with pytest.raises(PermissionDenied):
        await stranger.taken(stranger.client.read_cache(SYSTEM))
    with pytest.raises(NotFound):
        await stranger("get_run", run.run_id)
    with pytest.raises(PermissionDenied):
        await client("record_checkpoint", "events", 1, ROADS, "sent")


async def test_who_is_set_aside_is_waited_for_in_vain(new_client: NewClient, request: Any) -> None:
    """A module cannot see it; the error says what may be."""
    client = new_client()
    pushed = await client(
        "push", SYSTEM, MAPPING, {"id": f"ASIDE-{request.node.callspec.id}", "title": "x", "date": "never"}
    )
    with pytest.raises(DeadlineExceeded, match="set aside"):
        await client("wait_until_synced", pushed, timeout=1)


async def test_ten_thousand_records_pass_through_little_memory(demo: Suite) -> None:
    """Pushed in ten calls, all land, and are read one by one: the peak is that of two pages, however many there are."""
    records = ({"id": f"MANY-{number:05}", "title": f"Number {number}", "date": "2026-05-01"} for number in range(MANY))
    with Client(**arguments(demo)) as client:
        outcomes = await asyncio.to_thread(client.push_many, SYSTEM, MAPPING, records)
        assert sum(outcome.ok for outcome in outcomes) == MANY
        assert len({outcome.pushed.delivery_id for outcome in outcomes if outcome.pushed}) == MANY // 1000

        def landed() -> bool:
            pending = demo.sql("ingest", "SELECT count(*) AS n FROM campaign_department_external_data_cache"
                               " WHERE sync_status = 'synced' AND external_id LIKE 'MANY-%'")  # fmt: skip
            return bool(pending[0]["n"] == MANY)

        await eventually(landed, timeout=90, every=0.2)

        def peak(pages: int) -> tuple[int, int]:
            count = 0
            tracemalloc.start()
            try:
                with client.read_cache(SYSTEM, MAPPING, page_size=200) as found:
                    for count, _ in enumerate(found, 1):
                        if count == pages * 200:
                            break
                return count, tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        await asyncio.to_thread(peak, 1)
        _, few = await asyncio.to_thread(peak, 3)
        count, all_of_them = await asyncio.to_thread(peak, MANY)
    assert count >= MANY
    assert all_of_them < 2 * few


@linux_only
@pytest.mark.parametrize("kind", KINDS)
async def test_pushes_through_a_killed_ingest_land_once(demo: Suite, kind: str) -> None:
    """Whatever was under way when it died, nobody is told of it, and no record comes twice."""
    client, count = Calling(kind, **arguments(demo), timeout=60), 0
    is_over = asyncio.Event()

    async def pushes(lane: int) -> list[str]:
        nonlocal count
        ids: list[str] = []
        while not is_over.is_set():
            record = {"id": f"KILL-{kind}-{lane}-{len(ids)}", "title": "Drill", "date": "2026-05-01"}
            ids.append((await client("push", SYSTEM, MAPPING, record)).external_id)
            count += 1
        return ids

    lanes = [asyncio.create_task(pushes(lane)) for lane in range(4)]
    await eventually(lambda: count > 20)
    os.kill(victims.find_process(demo, "ingest"), signal.SIGKILL)
    before = count
    await eventually(lambda: count > before + 40, timeout=60)
    is_over.set()
    pushed = [external_id for lane in await asyncio.gather(*lanes) for external_id in lane]
    await client("close")

    def rows() -> bool:
        found = demo.sql("ingest", "SELECT external_id, revision FROM campaign_department_external_data_cache"
                         " WHERE sync_status = 'synced' AND external_id LIKE %s", [f"KILL-{kind}-%"])  # fmt: skip
        return sorted(row["external_id"] for row in found) == sorted(pushed) and {row["revision"] for row in found} == {
            1
        }

    await eventually(rows, timeout=60, every=0.2)


@linux_only
async def test_a_fork_needs_a_client_of_its_own(demo: Suite, tmp_path: Path) -> None:
    """One of before the fork says so instead of hanging; one that is made behind it works, in both processes."""
    (tmp_path / "forking.py").write_text(FORKING)
    ran = subprocess.run(
        [sys.executable, tmp_path / "forking.py"],
        env={**os.environ, **environment(demo)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr

    def landed() -> bool:
        found = demo.sql("ingest", "SELECT external_id FROM campaign_department_external_data_cache"
                         " WHERE external_id LIKE 'FORK-%' ORDER BY 1")  # fmt: skip
        return [row["external_id"] for row in found] == ["FORK-1", "FORK-2"]

    await eventually(landed)
