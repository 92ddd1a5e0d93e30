"""Strangers cannot tell systems apart: each refusal has the same answer and is the same work, counted to the byte."""

import hashlib
import hmac
from collections import Counter
from typing import Any

import pytest

from ingest_samples import JSON, configuration, desk, mapping, raw, system
from intertie_chassis.errors import IntertieError
from intertie_ingest import signature_ed25519
from intertie_ingest.signature_schemes import CLOSED
from refusals import KINDS, NAMES, NOW, SECRET, signed_by_nobody, strangers

BODY = b'{"id": "1", "title": "' + b"x" * 700 + b'"}'
LATE = b"%d" % (NOW - 301)
PRESENTED: dict[str, dict[str, list[bytes]]] = {
    "nothing": JSON,
    "all-wrong": signed_by_nobody(),
    "wrong-first-byte": {**JSON, "x-webhook-secret": [b"X" + SECRET[1:].encode()]},
    "wrong-last-byte": {**JSON, "x-webhook-secret": [SECRET[:-1].encode() + b"X"]},
    "wrong-length": {**JSON, "x-webhook-secret": [SECRET.encode() * 200]},
    "empty": signed_by_nobody(**{name: [b""] for name in signed_by_nobody().keys() - JSON.keys()}),
    "not-ascii": {**JSON, "x-webhook-secret": ["é".encode()], "x-hub-signature-256": ["sha256=é".encode()]},
    "late": signed_by_nobody(**{"webhook-timestamp": [LATE], "x-slack-request-timestamp": [LATE]}),
    "no-id": {name: values for name, values in signed_by_nobody().items() if name != "webhook-id"},
    "eight-signatures": signed_by_nobody(**{"webhook-signature": [b" ".join([b"v1,AAAA"] * 4 + [b"v1a,AAAA"] * 4)]}),
    **{
        f"two-of-{name}": signed_by_nobody(**{name: values * 2})
        for name, values in signed_by_nobody().items()
        if name not in JSON
    },
    "200-standard-signatures": signed_by_nobody(**{"webhook-signature": [b" ".join([b"v1,AAAA"] * 200)]}),
    "200-stripe-signatures": signed_by_nobody(**{"stripe-signature": [b"t=%d" % NOW + b",v1=00" * 200]}),
    "200-hub-signatures": signed_by_nobody(**{"x-hub-signature-256": [b",".join([b"sha256=00"] * 200)]}),
}


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    """What is computed: comparisons by length, bytes hashed and passes by algorithm, signatures verified."""
    counted: Counter[Any] = Counter()
    digest, compare, sha256, fits = hmac.digest, hmac.compare_digest, hashlib.sha256, signature_ed25519._fits

    def counting_digest(key: bytes, message: bytes, algorithm: str) -> bytes:
        counted["passes", algorithm] += 1
        counted["bytes", algorithm] += len(message)
        assert len(key) <= 128
        return digest(key, message, algorithm)

    def counting_compare(one: bytes, other: bytes) -> bool:
        counted["compared", len(one), len(other)] += 1
        return compare(one, other)

    def counting_sha256(content: bytes = b"") -> Any:
        counted["digest", len(content)] += 1
        return sha256(content)

    def counting_fits(signature: bytes, key: bytes, message: bytes) -> bool:
        counted["verified", signature, len(message)] += 1
        return fits(signature, key, message)

    monkeypatch.setattr(hmac, "digest", counting_digest)
    monkeypatch.setattr(hmac, "compare_digest", counting_compare)
    monkeypatch.setattr(hashlib, "sha256", counting_sha256)
    monkeypatch.setattr(signature_ed25519, "_fits", counting_fits)
    return counted


@pytest.mark.parametrize("presented", PRESENTED)
def test_every_refusal_is_the_same_answer_and_the_same_work(presented: str, work: Counter[Any]) -> None:
    """Whatever the system's scheme, whether it has one or two secrets, sleeps, is unusable or does not exist."""
    here = desk(strangers(), now=NOW)
    answers: dict[str, Any] = {}
    efforts: dict[str, Any] = {}
    for name in NAMES:
        work.clear()
        with pytest.raises(IntertieError) as refused:
            here.take(raw(BODY, name=name, headers=PRESENTED[presented]))
        error = refused.value
        answers[name] = (error.code, error.reason, error.message, tuple(error.metadata.items()), error.retry_after)
        efforts[name] = dict(work)
    assert len(set(answers.values())) == 1, answers
    assert all(effort == efforts["nobody"] for effort in efforts.values()), efforts
    is_repeated = presented.startswith(("two-of-", "200-"))
    assert answers["nobody"][1] == ("INVALID_REQUEST" if is_repeated else "UNAUTHENTICATED")
    if presented == "all-wrong":
        # Of each scheme two secrets are tried, whoever was named.
        assert efforts["nobody"]["passes", "sha256"] == 2 * len(["standard", "github", "stripe", "shopify", "slack"])
        assert efforts["nobody"]["passes", "sha512"] == 2
        assert efforts["nobody"]["bytes", "sha256"] > 10 * len(BODY)


def test_the_right_secret_from_a_wrong_place_is_refused_with_as_much_work(work: Counter[Any]) -> None:
    """Whoever found a secret does not learn that it is one."""
    config = strangers()
    door = config.by_name["github"].verifier
    signature = hmac.new(SECRET.encode(), BODY, "sha256").hexdigest().encode()
    efforts = []
    for value in (signature, b"0" * 64):
        work.clear()
        with pytest.raises(Exception, match=r"^$"):
            config.gate.verify(door, {"x-hub-signature-256": [b"sha256=" + value]}, BODY, NOW, is_allowed=False)
        efforts.append(dict(work))
    assert efforts[0] == efforts[1]


def test_who_is_let_in_pays_for_one_pass_only(work: Counter[Any]) -> None:
    """What makes refusals alike costs nothing on the way in."""
    here = desk(strangers(), now=NOW)
    signature = hmac.new(SECRET.encode(), BODY, "sha256").hexdigest().encode()
    work.clear()
    here.take(raw(BODY, name="github", headers={**JSON, "x-hub-signature-256": [b"sha256=" + signature]}))
    assert work["passes", "sha256"] == 1
    assert work["passes", "sha512"] == 0
    assert sum(count for what, count in work.items() if what[0] == "compared") == 1


def test_each_kind_lets_in_whom_it_should() -> None:
    """The table of strangers is of working systems: only then do refusals say anything."""
    config = strangers()
    assert {name for name in KINDS if config.by_name[name].verifier is CLOSED} == {"unusable", "unsaid"}


def test_an_unknown_system_costs_no_more_where_every_system_is_in_order(work: Counter[Any]) -> None:
    """Also in an installation that has no closed system to be likened to."""
    here = desk(configuration(system(mapping(), webhook_secret=SECRET)), now=NOW)
    efforts = []
    for name in ("law_enforcement", "nobody"):
        work.clear()
        with pytest.raises(IntertieError):
            here.take(raw(BODY, name=name, headers=signed_by_nobody()))
        efforts.append(dict(work))
    assert efforts[0] == efforts[1]
