"""Which routes Envoy answers by itself, and what counts as plain."""

import re
from typing import Any

import pytest

from intertie_gateway import contracts
from intertie_gateway.envoy.straight import Detour, Straight, judge, specificity
from intertie_gateway.fields import is_document

PREFIX = "/api/v1/integrations"
JUDGED = {f"{route.verb} {route.template.removeprefix(PREFIX)}": judge(route) for route in contracts.routes()}


def straight(name: str) -> Straight:
    """The route, which must be a straight one."""
    judged = JUDGED[name]
    assert isinstance(judged, Straight)
    return judged


def test_what_holds_a_document_takes_the_detour() -> None:
    """In the request or in the answer; of the others only PATCH does."""
    for name, judged in JUDGED.items():
        messages = (judged.route.method.input_type, judged.route.method.output_type)
        direct = any(is_document(field) for message in messages for field in message.fields)
        assert not (direct and isinstance(judged, Straight)), name
    whys = {judged.why for judged in JUDGED.values() if isinstance(judged, Detour)}
    assert whys == {"holds JSON documents", "changes what the body names, which a transcoder does not tell"}
    assert isinstance(JUDGED["GET /mappings"], Detour), "the documents are in the mappings that it lists"


def test_where_addresses_are_limited_nothing_goes_straight() -> None:
    """The gateway alone counts their requests."""
    assert {type(judge(judged.route, counts_addresses=True)) for judged in JUDGED.values()} == {Detour}


@pytest.mark.parametrize(
    ("name", "plain", "odd"),
    [
        (
            "GET /systems/{system}",
            ["/systems/law_enforcement", "/systems/A.b-c~1"],
            [
                "/systems/",
                "/systems/..",
                "/systems/a%2fb",
                "/systems/%ff",
                "/systems/a/b",
                "/systems/a:b",
                "/systems/é",
            ],
        ),
        ("DELETE /grants/{id}", ["/grants/0", "/grants/12"], ["/grants/01", "/grants/-1", "/grants/1234567890"]),
        ("POST /sync/runs/{run_id}:cancel", ["/sync/runs/01K:cancel"], ["/sync/runs/01K", "/sync/runs/01K:cancelled"]),
        ("GET /systems", ["/systems"], ["/systems/", "//systems", "/systemsx", "/Systems"]),
    ],
)
def test_plain_paths(name: str, plain: list[str], odd: list[str]) -> None:
    """What two readers could take for different things is none."""
    pattern = re.compile(straight(name).path)
    assert [path for path in plain if not pattern.fullmatch(PREFIX + path)] == []
    assert [path for path in odd if pattern.fullmatch(PREFIX + path)] == []


@pytest.mark.parametrize(
    ("name", "query", "body"),
    [
        ("GET /systems", {"active_only": "boolean", "page_size": "number", "page_token": "text"}, None),
        # The variable of the path is no parameter: it would override the path.
        ("GET /systems/{system}", {}, None),
        ("POST /connections/{id}:test", {}, {"members": {}}),
        ("POST /sync/cursor:reset", {}, {"members": {"system": "text", "mapping": "text"}}),
    ],
)
def test_what_a_plain_request_says(name: str, query: dict[str, Any], body: dict[str, Any] | None) -> None:
    assert straight(name).query == query
    assert straight(name).body == body


def test_bodies_hold_what_both_edges_read_alike() -> None:
    """Nothing that only the service sets, no times; what repeats is an array."""
    body = straight("POST /records:count").body
    assert isinstance(body, dict)
    assert body["members"]["ids"] == {"each": "number"}
    assert "changed_after" not in body["members"]
    made = straight("POST /systems").body
    assert isinstance(made, dict)
    assert not {"id", "created_at"} & made["members"].keys()


def test_literals_come_before_variables() -> None:
    """As the gateway finds them; else a name would be asked for that is the word of another route."""
    names = [name for name, _ in sorted(JUDGED.items(), key=lambda item: specificity(item[1]))]
    assert names.index("GET /logs/checkpoints") < names.index("GET /logs/{id}")
