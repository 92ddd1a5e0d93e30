"""The transcoder: requests as the contracts have them, answers as documented, errors in one shape."""

import threading
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from gateway_rig import PREFIX, TOKEN, GatewayProcess, Script, Services, problem_of, running_gateway
from intertie.ingest.v1 import ingest_pb2
from intertie.mapper.v1 import mapper_pb2
from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import (
    Aborted,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)


def _get(gateway: GatewayProcess, path: str, **headers: str) -> Any:
    return gateway.client.get(f"{PREFIX}{path}", headers=TOKEN | headers)


def _post(gateway: GatewayProcess, path: str, body: bytes, method: str = "POST") -> Any:
    headers = TOKEN | {"content-type": "application/json"}
    return gateway.client.request(method, f"{PREFIX}{path}", content=body, headers=headers)


def test_documents_go_in_as_the_bytes_that_came(gateway: GatewayProcess, script: Script) -> None:
    """White space, escapes, the order of keys, 1.10 and integers of any size: nothing is rebuilt."""
    document = b'{ "z": 1.10,\n\t"a": 18446744073709551616123, "e": 1E5, "s": "\\u00e9", "n": null }'
    _post(gateway, "/mappings", b'{"system": "s", "mapping_config" : ' + document + b' , "mapping_name": "m"}')
    ((_, request, _),) = script.calls
    assert request.mapping.mapping_config == document
    assert (request.mapping.system, request.mapping.mapping_name) == ("s", "m")


def test_repeated_documents(gateway: GatewayProcess, script: Script) -> None:
    """Each element is a document of its own, null too."""
    _post(gateway, "/mappings:preview", b'{"mapping_id": 7, "records": [ {"a" : 1}, [1, 2],null ,"x"]}')
    ((_, request, _),) = script.calls
    assert list(request.records) == [b'{"a" : 1}', b"[1, 2]", b"null", b'"x"']


def test_documents_come_out_as_they_are(gateway: GatewayProcess, script: Script) -> None:
    """Valid ones verbatim, none as null, and what is no JSON as a string, so that the answer is never broken."""
    documents = [b'{"n": 99999999999999999999, "f": 1.10}', b"", b'{"broken', b"\xff\xfe", b'"\\ud800"', b"[]"]
    script.handlers["ListRecords"] = lambda request, metadata: ingest_pb2.ListRecordsResponse(
        records=[ingest_pb2.Record(data_json=document) for document in documents]
    )
    answer = _get(gateway, "/records")
    assert b'"data_json":{"n": 99999999999999999999, "f": 1.10}' in answer.content
    assert [record["data_json"] for record in answer.json()["records"]] == [
        {"n": 99999999999999999999, "f": 1.1}, None, '{"broken', "��", '"\\ud800"', [],
    ]  # fmt: skip


def test_zero_values_are_printed(gateway: GatewayProcess, script: Script) -> None:
    """Each field of the contract is there; what goes in only never comes out."""
    connection = _get(gateway, "/connections/1").json()
    assert connection["db_port"] == 0
    assert connection["system"] == ""
    assert connection["secrets_set"] == []
    assert connection["is_active"] is None
    assert connection["created_at"] is None
    assert connection["config_json"] is None
    assert not {"db_password", "api_auth_token"} & set(connection)


def test_wide_integers_are_strings_and_times_are_rfc_3339(gateway: GatewayProcess, script: Script) -> None:
    """So that no reader rounds them, and every reader knows the zone."""
    record = ingest_pb2.Record(id=9007199254740993, system_id=4294967295)
    record.created_at.FromJsonString("2026-01-31T08:15:00Z")
    script.handlers["GetRecord"] = lambda request, metadata: record
    answer = _get(gateway, "/records/9007199254740993").json()
    assert answer["id"] == "9007199254740993"
    assert answer["system_id"] == 4294967295
    assert answer["created_at"] == "2026-01-31T08:15:00Z"
    assert script.calls[0][1].id == 9007199254740993


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b'{"display_name": "X"}', ["display_name"]),
        (b'{"is_active": false, "description": ""}', ["is_active", "description"]),
        (b'{"description": null}', ["description"]),
        (b'{"id": 3, "system_name": "a", "display_name": "X", "created_at": "2026-01-31T08:15:00Z"}', ["display_name"]),
    ],
)
def test_a_patch_changes_what_its_body_names(
    gateway: GatewayProcess, script: Script, body: bytes, paths: list[str]
) -> None:
    """Without update_mask the body's keys are it, also those set to zero; what only the service sets is left out."""
    assert _post(gateway, "/systems/a", body, "PATCH").status_code == 200
    ((_, request, _),) = script.calls
    assert list(request.update_mask.paths) == paths
    assert request.system.system_name == "a"
    assert not request.system.HasField("created_at")


def test_a_patch_with_a_mask_keeps_it(gateway: GatewayProcess, script: Script) -> None:
    """The caller knows best."""
    path = "/systems/a?update_mask=display_name,is_active"
    assert _post(gateway, path, b'{"display_name": "X", "description": "d"}', "PATCH").status_code == 200
    assert list(script.calls[0][1].update_mask.paths) == ["display_name", "is_active"]


@pytest.mark.parametrize("body", [b"{}", b'{"system_name": "a"}', b'{"system_name": "b", "display_name": "x"}'])
def test_a_patch_that_names_nothing_or_another_is_refused(gateway: GatewayProcess, script: Script, body: bytes) -> None:
    """An empty change is a mistake, and so is a body that gainsays its path."""
    assert _post(gateway, "/systems/a", body, "PATCH").status_code == 400
    assert script.calls == []


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/systems?nonsense=1", "nonsense"),
        ("/systems?page_size=x", "page_size"),
        ("/systems?page_size=1.0", "page_size"),
        ("/systems?page_size=+1", "page_size"),
        ("/systems?page_size=01", "page_size"),
        ("/systems?page_size=", "page_size"),
        ("/systems?page_size=2147483648", "page_size"),
        ("/systems?page_size=1&page_size=2", "page_size"),
        ("/systems?active_only=1", "active_only"),
        ("/systems?active_only=True", "active_only"),
        ("/deliveries?state=upsert", "state"),
        ("/deliveries?state=99", "state"),
        ("/deliveries?received_after=yesterday", "received_after"),
        ("/deliveries?received_after=2026-01-31T08:15:00", "received_after"),
        ("/deliveries?received_after=0000-00-00T00:00:00Z", "received_after"),
        ("/records/-9223372036854775809", "id"),
        ("/records/1x", "id"),
        ("/connections/4294967296", "id"),
        ("/connections/-1", "id"),
        ("/systems?a.b=1", "a.b"),
    ],
)
def test_parameters_that_do_not_fit_are_named(gateway: GatewayProcess, script: Script, path: str, field: str) -> None:
    """400 with the name; nothing is guessed, nothing reaches a service."""
    answer = _get(gateway, path)
    assert answer.status_code == 400
    problem = problem_of(answer)
    assert [violation["field"] for violation in problem["details"][1]["field_violations"]] == [field]
    assert field in problem["message"]
    assert script.calls == []


def test_parameters_that_fit(gateway: GatewayProcess, script: Script) -> None:
    """Escapes, plus signs, enums by name, times, booleans."""
    path = (
        "/deliveries?system=a%20b+c&state=DELIVERY_STATE_SYNCED&received_after=2026-01-31T08:15:00%2B01:00&page_size=5"
    )
    assert _get(gateway, path).status_code == 200
    assert _get(gateway, "/systems?active_only=true").status_code == 200
    (_, deliveries, _), (_, systems, _) = script.calls
    assert deliveries.system == "a b c"
    assert deliveries.state == ingest_pb2.DELIVERY_STATE_SYNCED
    assert deliveries.received_after.ToJsonString() == "2026-01-31T07:15:00Z"
    assert deliveries.page_size == 5
    assert systems.active_only is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"nonsense": 1}', "nonsense"),
        (b'{"systemName": "a"}', "systemName"),
        (b'{"system_name": 5}', "system_name"),
        (b'{"system_name": ["a"]}', "system_name"),
        (b'{"is_active": "true"}', "is_active"),
        (b'{"is_active": 1}', "is_active"),
    ],
)
def test_body_fields_that_do_not_fit_are_named(
    gateway: GatewayProcess, script: Script, body: bytes, field: str
) -> None:
    """Unknown fields are refused, not dropped; types are not bent."""
    answer = _post(gateway, "/systems", body)
    assert answer.status_code == 400
    assert problem_of(answer)["details"][1]["field_violations"][0]["field"] == field
    assert script.calls == []


def test_all_faults_of_a_body_come_at_once(gateway: GatewayProcess) -> None:
    """One round for the person who writes it."""
    answer = _post(gateway, "/connections", b'{"db_port": -1, "x": {"y": [1]}, "is_active": 0, "system": "s"}')
    named = [violation["field"] for violation in problem_of(answer)["details"][1]["field_violations"]]
    assert named == ["db_port", "x", "is_active"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"{} {}",
        b'{"system_name": "\xff"}',
        b'{"system_name": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"mapping_config": NaN}',
        b'{"mapping_config": {"a": 1e999}}',
        b'{"mapping_config": {"a": ' + b"9" * 5000 + b"}}",
        b'{"mapping_config": ' + b"[" * 32 + b"]" * 32 + b"}",
        b'{"mapping_config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"mapping_config": {"a": 1, "a": 2}}',
        b'{"system": "a", "system": "b"}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_bodies_that_are_not_json_as_we_take_it(gateway: GatewayProcess, script: Script, body: bytes) -> None:
    """400 each, never a fault of ours; brackets in strings do not count as depth."""
    answer = _post(gateway, "/mappings", body)
    assert answer.status_code == 400, answer.text
    problem_of(answer)
    assert script.calls == []


def test_brackets_in_strings_are_no_depth(gateway: GatewayProcess, script: Script) -> None:
    """Only arrays and objects nest; 31 deep is taken."""
    document = b'"' + b"[" * 100 + b'\\"{"'
    assert _post(gateway, "/mappings", b'{"mapping_config": ' + document + b"}").status_code == 200
    deep = b"[" * 30 + b"]" * 30
    assert _post(gateway, "/mappings", b'{"mapping_config": ' + deep + b"}").status_code == 200
    assert [request.mapping.mapping_config for _, request, _ in script.calls] == [document, deep]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
def test_other_content_types_are_415(gateway: GatewayProcess, content_type: str | None) -> None:
    """A body is JSON in UTF-8."""
    headers = TOKEN | ({"content-type": content_type} if content_type else {})
    answer = gateway.client.post(f"{PREFIX}/systems", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert problem_of(answer)["reason"] == "UNSUPPORTED_MEDIA_TYPE"


def test_a_body_where_none_belongs_is_refused(gateway: GatewayProcess) -> None:
    """What it was meant to say would be lost."""
    answer = gateway.client.request("GET", f"{PREFIX}/systems", content=b"{}", headers=TOKEN)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/systems", "GET, HEAD, POST"),
        ("POST", "/systems/a", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/mappings:validate", "POST"),
        ("OPTIONS", "/cache", "GET, HEAD"),
    ],
)
def test_other_methods_are_405_with_allow(gateway: GatewayProcess, method: str, path: str, allowed: str) -> None:
    """Also where a verb ends the path."""
    answer = gateway.client.request(method, f"{PREFIX}{path}")
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/systems/", "/systems/a/b", "/mappings:nonsense", "/systems//", "/%73ystems"])
def test_paths_that_no_contract_has_are_404(gateway: GatewayProcess, path: str) -> None:
    """No prefix, no slash too many, no other spelling."""
    assert _get(gateway, path).status_code == 404


def test_a_head_is_a_get_without_its_body(gateway: GatewayProcess, script: Script) -> None:
    """As RFC 9110 has it."""
    answer = gateway.client.head(f"{PREFIX}/systems", headers=TOKEN)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0
    assert script.calls[0][0] == "ListSystems"


def test_names_with_colons_are_names_where_no_verb_stands(gateway: GatewayProcess, script: Script) -> None:
    """A verb is one only where the contracts have it; escaped, a colon never is."""
    assert _get(gateway, "/systems/a:b").status_code == 200
    assert _get(gateway, "/modules/m/systems/s%3AcheckAccess:checkAccess").status_code == 200
    assert script.calls[0][1].system == "a:b"
    assert script.calls[1][1].system == "s:checkAccess"


@pytest.mark.parametrize("segment", ["a%2Fb", "a%00", "%ff", "..", "%2e%2e", "%2525"])
def test_path_fields_that_are_refused(gateway: GatewayProcess, script: Script, segment: str) -> None:
    """The same names as on the receiving route."""
    answer = gateway.raw(
        f"GET {PREFIX}/systems/{segment} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
        "Authorization: Bearer x\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert script.calls == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidArgument("no", violations=[("system.system_name", "is too long")]), 400),
        (FailedPrecondition(reason="SECOND_VERIFIER"), 400),
        (Unauthenticated(), 401),
        (PermissionDenied(), 403),
        (NotFound(reason="SYSTEM_NOT_FOUND", metadata={"system": "a"}), 404),
        (Aborted(), 409),
        (ResourceExhausted(retry_after=3), 429),
        (Internal(), 500),
        (Unavailable(reason="TARGET_UNREACHABLE"), 503),
    ],
)
def test_errors_of_services_come_through(gateway: GatewayProcess, script: Script, error: Any, status: int) -> None:
    """Status by the table; reason, metadata and violations as the service gave them."""

    def fail(request: Any, metadata: dict[str, str]) -> Message:
        raise error

    script.handlers["GetSystem"] = fail
    answer = _get(gateway, "/systems/a")
    assert answer.status_code == status
    problem = problem_of(answer)
    assert (problem["reason"], problem["message"]) == (error.reason, error.message)
    assert problem["metadata"] == error.metadata
    if error.violations:
        assert problem["details"][1]["field_violations"] == [
            {"field": "system.system_name", "description": "is too long"}
        ]


def test_a_call_that_does_not_end_is_504(services: Services, script: Script, tmp_path: Path) -> None:
    """The deadline is a setting."""
    gate = threading.Event()

    def wait(request: Any, metadata: dict[str, str]) -> Message:
        gate.wait(20)
        return registry_pb2.System()

    script.handlers["GetSystem"] = wait
    script.on_group = lambda request: gate.wait(20)
    with running_gateway(services.address, tmp_path, {"INTERTIE_GATEWAY_DEADLINE_SECONDS": "0.3"}) as gateway:
        call = _get(gateway, "/systems/a")
        webhook = gateway.webhook()
    gate.set()
    assert (call.status_code, webhook.status_code) == (504, 504)
    assert problem_of(call)["reason"] == problem_of(webhook)["reason"] == "DEADLINE_EXCEEDED"


def test_an_answer_over_the_limit_of_grpc_is_no_429(gateway: GatewayProcess, script: Script) -> None:
    """Asked again, it would be as large."""
    script.handlers["ListRecords"] = lambda request, metadata: ingest_pb2.ListRecordsResponse(
        records=[ingest_pb2.Record(data_json=b'"' + b"a" * 1_000_000 + b'"')] * 34
    )
    answer = _get(gateway, "/records")
    assert answer.status_code == 400
    assert "page_size" in problem_of(answer)["message"]


def test_previews_print_what_they_hold(gateway: GatewayProcess, script: Script) -> None:
    """Enums by name, documents as JSON, in nested messages too."""
    script.handlers["PreviewMapping"] = lambda request, metadata: mapper_pb2.PreviewMappingResponse(
        previews=[
            mapper_pb2.RecordPreview(
                external_id="1",
                action=mapper_pb2.RecordPreview.ACTION_CHANGE,
                target_key=b'{"id":7}',
                columns=[mapper_pb2.ColumnChange(column="date", old_value=b"null", new_value=b'"2026-05-01"')],
            )
        ]
    )
    preview = _post(gateway, "/mappings:preview", b'{"mapping_id": 7}').json()["previews"][0]
    assert preview["action"] == "ACTION_CHANGE"
    assert preview["target_key"] == {"id": 7}
    assert preview["columns"] == [{"column": "date", "old_value": None, "new_value": "2026-05-01"}]
