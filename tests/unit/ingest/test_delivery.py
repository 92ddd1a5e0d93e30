"""Taking a delivery: who may, what it says, where its records go, and each refusal with its reason."""

import json
from typing import Any

import pytest

from ingest_samples import INCIDENT, JSON, SECRET, SIGNED, configuration, desk, mapping, raw, system
from intertie_chassis.errors import IntertieError, InvalidArgument, PermissionDenied, Unauthenticated
from intertie_chassis.principals import Principal
from intertie_ingest import errors
from intertie_ingest.configuration import Configuration, StoredConnection, StoredGrant, StoredSystem, compile_system
from intertie_ingest.model import Route


def refusal(config: Configuration | None = None, *arguments: Any, **options: Any) -> IntertieError:
    with pytest.raises(IntertieError) as caught:
        desk(config).take(raw(*arguments, **options))
    return caught.value


def push(data: object = INCIDENT, **more: Any) -> dict[str, Any]:
    return {"system": "law_enforcement", "mapping": "incidents_to_events", "data": data, **more}


def test_a_webhook_goes_to_every_active_mapping_that_wants_it() -> None:
    """By filter; an inactive mapping wants nothing; the external id is each mapping's own."""
    config = configuration(
        system(
            mapping(1, "all"),
            mapping(2, "drills", filter="event_type = 'drill'"),
            mapping(3, "incidents", filter="event_type = 'incident_created'", external_id_field="title"),
            mapping(4, "off", is_active=False),
        )
    )
    taken = desk(config).take(raw())
    assert [(record.mapping_id, record.external_id) for record in taken.records] == [
        (1, "12345"),
        (3, "Traffic Accident"),
    ]
    assert taken.external_ids == ("12345",)
    assert taken.records[0].data == json.dumps(INCIDENT)
    assert taken.actor == "system:law_enforcement"


def test_bytes_of_records_stay_as_they_came() -> None:
    """Numbers, order of keys and spaces of each element of an array, and of a push's data."""
    body = b' [ {"id": 1,  "n": 1.10e2}, {"id":2,"n":18446744073709551616} ]'
    assert [record.data for record in desk().take(raw(body)).records] == [
        '{"id": 1,  "n": 1.10e2}',
        '{"id":2,"n":18446744073709551616}',
    ]
    pushed = (
        b'{"data" : {"id": 7, "data": "}", "\\u0064ata2": 1.0 } , "x":{"data":0},'
        b'"system":"law_enforcement","mapping":"incidents_to_events"}'
    )
    taken = desk().take(raw(pushed, route=Route.PUSH, headers=JSON))
    assert [record.data for record in taken.records] == ['{"id": 7, "data": "}", "\\u0064ata2": 1.0 }']


def test_records_without_an_id_are_records_of_their_own() -> None:
    """Named by the delivery, elements by their number too; unless the mapping asks for the content."""
    taken = desk().take(raw([{"title": "a"}, {"id": 5}, {"title": "b"}]))
    assert taken.external_ids == (f"{taken.delivery_id}-0", "5", f"{taken.delivery_id}-2")
    assert [record.external_id for record in taken.records] == list(taken.external_ids)
    by_content = configuration(system(mapping(external_id="content")))
    first, second = (desk(by_content).take(raw({"title": "a"})) for _ in range(2))
    assert first.records[0].external_id == second.records[0].external_id != first.delivery_id


def test_every_delivery_of_a_collecting_mapping_is_a_record() -> None:
    """`apply: every` makes the place unique; the sender is answered its own id."""
    config = configuration(system(mapping(apply="every")))
    first, second = (desk(config).take(raw()) for _ in range(2))
    assert first.external_ids == second.external_ids == ("12345",)
    assert first.records[0].external_id == f"12345@{first.delivery_id}" != second.records[0].external_id
    long = desk(config).take(raw({"id": "x" * 255}))
    assert len(long.records[0].external_id) == 255


@pytest.mark.parametrize(
    ("options", "body", "reason", "field"),
    [
        ({"filter": "$number(title) > 3"}, INCIDENT, "filter_failed", "filter"),
        ({}, {**INCIDENT, "id": True}, "invalid_external_id", "external_id_field"),
        ({}, {**INCIDENT, "id": {"a": 1}}, "invalid_external_id", "external_id_field"),
        ({}, {**INCIDENT, "id": "x" * 256}, "invalid_external_id", "external_id_field"),
        ({"version_field": "at"}, INCIDENT, "missing_version", "version_field"),
        ({}, b'{"id": 1, "id": 2}', "duplicate_key", "id"),
        ({"config": b'{"field_mappings": 5}'}, INCIDENT, "invalid_mapping", "field_mappings"),
        ({"config": b"not json"}, INCIDENT, "invalid_mapping", "mapping_config"),
    ],
)
def test_faults_of_a_webhook_set_the_record_aside(
    options: dict[str, Any], body: object, reason: str, field: str
) -> None:
    """The delivery is accepted all the same, and the reason names the field."""
    taken = desk(configuration(system(mapping(**options)))).take(raw(body))
    (record,) = taken.records
    assert record.fault is not None
    assert (record.fault.reason, record.fault.field) == (reason, field)
    assert record.fault.message


@pytest.mark.parametrize(
    "data", [{**INCIDENT, "id": True}, {**INCIDENT, "id": "x" * 256}, {"id": []}], ids=["bool", "long", "list"]
)
def test_faults_of_a_push_are_answered(data: object) -> None:
    """The sender of a push hears at once what is wrong with its record."""
    error = refusal(None, push(data), route=Route.PUSH, headers=JSON)
    assert isinstance(error, InvalidArgument)
    assert error.violations[0][0] == "data"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "INVALID_JSON"),
        (b"{", "INVALID_JSON"),
        (b'{"a": 1} x', "INVALID_JSON"),
        (b"5", "INVALID_JSON"),
        (b'"text"', "INVALID_JSON"),
        (b"[1]", "INVALID_JSON"),
        (b'{"a": NaN}', "INVALID_JSON"),
        (b"\xff\xfe{}", "INVALID_JSON"),
        (b'\xef\xbb\xbf{"a":1}', "INVALID_JSON"),
        (b'{"a": "\\ud800"}', "INVALID_JSON"),
        (b'{"a":' * 32 + b"1" + b"}" * 32, "INVALID_JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "INVALID_JSON"),
        (b'{"a": "' + b"x" * 1024 * 1024 + b'"}', "BODY_TOO_LARGE"),
    ],
)
def test_bodies_that_are_refused(body: bytes, reason: str) -> None:
    """What is not JSON as we take it never becomes a delivery."""
    assert refusal(None, body).reason == reason


def test_thirty_one_levels_are_taken() -> None:
    """As deep as MariaDB stores it."""
    assert desk().take(raw(b'{"a":' * 31 + b"1" + b"}" * 31)).records


@pytest.mark.parametrize(
    "types",
    [[], [b"text/plain"], [b"application/json; charset=latin-1"], [b"application/json"] * 2, ["jsön".encode()], [b""]],
)
def test_content_types_that_are_refused(types: list[bytes]) -> None:
    """Also a missing one; before anybody is asked who they are."""
    headers = {"content-type": types} if types else {}
    assert refusal(None, headers=headers).reason == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    "kind",
    [
        b"application/json; charset=UTF-8",
        b"Application/JSON",
        b"application/cloudevents+json",
        b'application/json;charset="utf-8"',
    ],
)
def test_content_types_that_are_taken(kind: bytes) -> None:
    """JSON by any of its names, in UTF-8."""
    assert desk().take(raw(headers={**SIGNED, "content-type": [kind]})).records


def test_a_content_encoding_is_refused() -> None:
    """Nothing is inflated here."""
    assert refusal(None, headers={**SIGNED, "content-encoding": [b"gzip"]}).reason == "UNSUPPORTED_MEDIA_TYPE"


def test_a_form_is_a_record_of_texts_and_its_bytes_are_what_is_signed() -> None:
    """The body is kept as it came, the record is the JSON of it."""
    headers = {**SIGNED, "content-type": [b"application/x-www-form-urlencoded"]}
    taken = desk().take(raw(b"id=7&title=Flood%20drill", headers=headers))
    assert taken.body == b"id=7&title=Flood%20drill"
    assert json.loads(taken.records[0].data) == {"id": "7", "title": "Flood drill"}


def test_strangers_all_get_the_same_answer() -> None:
    """Unknown and inactive systems, systems without a secret, no and wrong secrets: not to be told apart."""
    config = configuration(
        system(mapping()),
        system(mapping(2), number=2, name="asleep", is_active=False),
        StoredSystem(3, "open", True, (StoredConnection(3, False, b'{"webhook_secret": "your_webhook_secret"}'),)),
        system(mapping(4), number=4, name="broken", webhook_auth="seckret", webhook_secret=SECRET),
    )
    wrong = {**JSON, "x-webhook-secret": [b"wrong"]}
    answers = {
        (error.code, error.reason, error.message, error.retry_after)
        for error in [
            refusal(config, headers=JSON),
            refusal(config, headers=wrong),
            *[refusal(config, name=name) for name in ("nobody", "asleep", "open", "broken")],
            refusal(config, b"not json", headers=wrong),
        ]
    }
    assert len(answers) == 1
    assert next(iter(answers))[1] == "UNAUTHENTICATED"


@pytest.mark.parametrize("name", ["law_enforcement", "nobody"])
def test_two_secrets_are_a_mistake_also_of_strangers(name: str) -> None:
    """400, whether or not the system exists."""
    error = refusal(None, name=name, headers={**JSON, "x-webhook-secret": [SECRET.encode()] * 2})
    assert isinstance(error, errors.RepeatedHeader)


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "a\x00", "x" * 101, "a\x85"])
def test_illegal_names(name: str) -> None:
    """No name of a system: 400, before anything is looked up."""
    assert refusal(None, name=name).reason == "INVALID_REQUEST"


def test_the_first_connection_that_says_how_verifies() -> None:
    """By id, among the active ones; a second one is told of and opens nothing."""
    stored = StoredSystem(
        1,
        "law_enforcement",
        True,
        (
            StoredConnection(3, True, b'{"webhook_secret": "third"}'),
            StoredConnection(2, True, b'{"webhook_secret": "second"}'),
            StoredConnection(1, False, b'{"webhook_secret": "first"}'),
            StoredConnection(0, True, b"[]"),
        ),
    )
    compiled = compile_system(stored)
    assert "connection 2 verifies" in compiled.problems[0]
    for secret, fits in ((b"second", True), (b"third", False), (b"first", False)):
        headers = {**JSON, "x-webhook-secret": [secret]}
        if fits:
            assert desk(Configuration.of([compiled])).take(raw(headers=headers)).records == ()
        else:
            assert isinstance(refusal(Configuration.of([compiled]), headers=headers), Unauthenticated)


def test_a_connection_that_cannot_be_read_closes_the_system() -> None:
    """It may have been meant to say how; a later secret must not stand in for it."""
    connections = (StoredConnection(1, True, b"{oops"), StoredConnection(2, True, b'{"webhook_secret": "s"}'))
    compiled = compile_system(StoredSystem(1, "law_enforcement", True, connections))
    assert isinstance(
        refusal(Configuration.of([compiled]), headers={**JSON, "x-webhook-secret": [b"s"]}), Unauthenticated
    )
    assert compiled.problems


def test_the_delivery_key_is_the_first_header_that_is_there() -> None:
    """The order of the design, for whoever holds the secret; then the configured path."""
    keys = {
        "x-shopify-webhook-id": [b"e"],
        "x-github-delivery": [b"d"],
        "idempotency-key": [b"c"],
        "svix-id": [b"b"],
        "webhook-id": [b"a"],
    }
    found = []
    while keys:
        found.append(desk().take(raw(headers={**SIGNED, **keys})).delivery_key)
        keys.popitem()
    assert found == ["a", "b", "c", "d", "e"]
    by_path = configuration(system(mapping(), webhook_secret=SECRET, delivery_key_path="meta.key"))
    assert desk(by_path).take(raw({"id": 1, "meta": {"key": 99}})).delivery_key == "99"
    assert desk(by_path).take(raw({"id": 1})).delivery_key is None


def test_long_keys_that_begin_alike_are_two_keys() -> None:
    """The column holds 255 characters; a key that was cut would make a conflict of another delivery."""
    config = configuration(system(mapping(), webhook_secret=SECRET, delivery_key_path="key"))
    keys = {desk(config).take(raw({"id": 1, "key": "k" * 300 + end})).delivery_key for end in ("a", "b")}
    assert len(keys) == 2
    assert all(key is not None and len(key) <= 255 for key in keys)


def test_unsigned_headers_choose_no_key() -> None:
    """Stripe signs the body alone: its id is the key, whatever headers stand beside."""
    config = configuration(system(mapping(), webhook_auth="stripe", webhook_secret=SECRET))
    rule = config.by_name["law_enforcement"].key_rule
    assert rule.headers == ()
    assert rule.path({"id": "evt_1"}) == "evt_1"


@pytest.mark.parametrize("key", ["é", "x" * 256, "a\tb"])
def test_a_key_that_is_no_key(key: str) -> None:
    """1 to 255 printable ASCII characters."""
    assert refusal(None, key=key).reason == "INVALID_REQUEST"


def test_push_answers() -> None:
    """The seed's push; unknown fields are tolerated, the mapping must be there and active, the body must fit."""
    config = configuration(system(mapping(), mapping(2, "off", is_active=False)))
    taken = desk(config).take(raw(push(extra=1), route=Route.PUSH, headers=JSON))
    assert (taken.mapping, taken.external_ids, taken.is_array) == ("incidents_to_events", ("12345",), False)
    for name in ("nothing", "off"):
        error = refusal(config, {**push(), "mapping": name}, route=Route.PUSH, headers=JSON)
        assert error.reason == "MAPPING_NOT_FOUND"
    for body, reason in (
        ({**push(), "data": 5}, "INVALID_REQUEST"),
        ({**push(), "system": 5}, "INVALID_REQUEST"),
        ({"system": "law_enforcement"}, "INVALID_REQUEST"),
        ([push()], "INVALID_JSON"),
        ({**push(), "data": [1]}, "INVALID_JSON"),
        (b'{"system":"a","system":"b","mapping":"m","data":{}}', "DUPLICATE_KEY"),
        (b'{"system":"law_enforcement","mapping":"incidents_to_events","data":{"a":1,"a":2}}', "DUPLICATE_KEY"),
        ({**push(), "system": "a/b"}, "INVALID_REQUEST"),
    ):
        assert refusal(config, body, route=Route.PUSH, headers=JSON).reason == reason


@pytest.mark.parametrize(
    ("peer", "fits"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("", False),
        ("2001:db8::1", False),
    ],
)
def test_push_without_a_secret_from_the_loopback_only(peer: str, fits: bool) -> None:
    """`push_auth: none` opens no door to the network."""
    if fits:
        assert desk().take(raw(push(), route=Route.PUSH, headers=JSON, peer=peer)).records
    else:
        assert isinstance(refusal(None, push(), route=Route.PUSH, headers=JSON, peer=peer), Unauthenticated)
    assert desk().take(raw(push(), route=Route.PUSH, headers=SIGNED, peer=peer)).records


def test_push_by_token() -> None:
    """Operators may; modules with a grant to write; others not; a token that is not valid never falls back."""
    config = configuration(
        system(mapping(), grants=(StoredGrant("events", "read_write", True), StoredGrant("surveys", "read", True)))
    )
    roles = {"op": "operator", "ad": "admin", "vi": "viewer", "ev": "module:events", "su": "module:surveys"}

    def principal_of(token: str) -> Principal:
        if token not in roles:
            raise Unauthenticated
        return Principal.of(roles[token], f"{token}@example.org", "1")

    def take(token: str, **changes: Any) -> Any:
        headers = {**JSON, "authorization": [b"Bearer " + token.encode()], "idempotency-key": [b"k"]}
        return desk(config, principal_of).take(raw({**push(), **changes}, route=Route.PUSH, headers=headers))

    assert (take("op").actor, take("op").delivery_key, take("ad").module) == ("op@example.org", "k", "")
    assert (take("ev").module, take("ev").delivery_key) == ("events", "module:events:k")
    for token in ("vi", "su"):
        with pytest.raises(PermissionDenied):
            take(token)
    with pytest.raises(Unauthenticated):
        take("forged")
    with pytest.raises(PermissionDenied):
        take("ev", system="nobody")
    with pytest.raises(errors.SystemNotFound):
        take("op", system="nobody")


def test_an_array_of_too_many_records_is_refused() -> None:
    """However small they are."""
    assert len(desk().take(raw([{}] * 5000)).records) == 5000
    assert refusal(None, [{}] * 5001).reason == "INVALID_REQUEST"


def test_an_empty_array_is_a_delivery_of_no_records() -> None:
    """Accepted, and unrouted."""
    taken = desk().take(raw([]))
    assert (taken.is_array, taken.external_ids, taken.records) == (True, (), ())
