"""How options are read: documents, secrets, times, addresses."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from intertie_chassis.errors import StartupError
from intertie_cli import addresses, options
from intertie_cli.problems import UsageError
from intertie_cli.settings import CliSettings


def test_a_document_is_given_or_in_a_file(tmp_path: Path) -> None:
    """Either way the bytes are those that were written."""
    file = tmp_path / "config.json"
    file.write_text('{"a": 1.10}\n')
    assert options.document('{"a": 1.10}') == options.document(f"@{file}") == b'{"a": 1.10}'


@pytest.mark.parametrize(
    ("text", "says"), [("{", "not JSON"), ("[]", "must be a JSON object"), ("@/no/such", "cannot be read")]
)
def test_what_is_no_document_is_refused(text: str, says: str) -> None:
    """With the option's name."""
    with pytest.raises(UsageError, match=f"--config.*{says}"):
        options.document(text)


def test_a_secret_need_not_be_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from a file (less its last line end) or a variable; an empty one is refused."""
    file = tmp_path / "secret"
    file.write_text(" s3cret \n")
    monkeypatch.setenv("MY_SECRET", "from env")
    assert options.secret(f"@{file}", "--webhook-secret") == " s3cret "
    assert options.secret("env:MY_SECRET", "--webhook-secret") == "from env"
    assert options.secret("plain", "--webhook-secret") == "plain"
    file.write_text("\n")
    for empty in (f"@{file}", "env:NOT_SET_AT_ALL"):
        with pytest.raises(UsageError, match="--webhook-secret: the secret is empty"):
            options.secret(empty, "--webhook-secret")


def test_times() -> None:
    """Dates, times with and without a zone, and ages; anything else is refused with examples."""
    given = [
        options.moment(text, "--since")
        for text in ("2025-01-20", "2025-01-20T00:00:00Z", "2025-01-20T08:00:00+08:00", "2025-01-20 00:00")
    ]
    assert [each.ToJsonString() if each else None for each in given] == ["2025-01-20T00:00:00Z"] * 4
    assert options.moment("", "--since") is None
    age = options.moment("2h", "--since")
    assert age is not None
    assert abs(age.ToDatetime(UTC) - (datetime.now(UTC) - timedelta(hours=2))) < timedelta(minutes=1)
    for text in ("yesterday", "h", "2025-13-01", "99999999999d"):
        with pytest.raises(UsageError, match="30m, 2h or 7d"):
            options.moment(text, "--since")


def test_an_end_is_a_time_or_never() -> None:
    """An age would be one that is over: whoever writes 7d for a grant means the days to come."""
    end = options.ending("2027-01-31T12:00:00+02:00", "--expires")
    assert end is not None
    assert end.ToDatetime() == datetime(2027, 1, 31, 10)
    assert options.ending("never", "--expires") is None
    for text in ("", "7d", "30m", "tomorrow"):
        with pytest.raises(UsageError, match="--expires: write a time"):
            options.ending(text, "--expires")


def test_merging_keeps_what_is_not_named() -> None:
    """An update of one key of a configuration leaves the others; what was no object gives way."""
    assert options.merged(b'{"push_auth":"none"}', {"webhook_auth": "github"}) == (
        b'{"push_auth": "none", "webhook_auth": "github"}'
    )
    assert options.merged(b"", {"a": 1}) == options.merged(b"[1]", {"a": 1}) == options.merged(b"{", {"a": 1})


@pytest.mark.parametrize(
    ("listen", "is_loopback"),
    [
        ("127.0.0.1:8080", True),
        ("127.8.0.1:1", True),
        ("[::1]:8080", True),
        ("localhost:8080", True),
        ("0.0.0.0:8080", False),
        ("[::]:8080", False),
        (":8080", False),
        ("10.0.0.1:8080", False),
        ("example.org:8080", False),
    ],
)
def test_loopback(listen: str, is_loopback: bool) -> None:
    """Only what is certain to be reachable from this machine alone counts."""
    assert addresses.is_loopback(listen) is is_loopback


def test_a_service_is_reached_where_it_listens_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """One setting is enough to move a service; listening everywhere is reached on the loopback."""
    monkeypatch.setenv("INTERTIE_REGISTRY_LISTEN", "127.0.0.1:7001")
    monkeypatch.setenv("INTERTIE_AUDIT_LISTEN", "0.0.0.0:7004")
    monkeypatch.setenv("INTERTIE_INGEST_LISTEN", "127.0.0.1:7002")
    monkeypatch.setenv("INTERTIE_INGEST_ADDRESS", "ingest.example:7002")
    settings = CliSettings.load()
    reached = addresses.reached(settings, ("registry", "audit", "ingest", "mapper"))
    assert reached == {
        "registry": "127.0.0.1:7001",
        "audit": "127.0.0.1:7004",
        "ingest": "ingest.example:7002",
        "mapper": "127.0.0.1:50053",
    }
    environment = addresses.environment(settings, reached, "json")
    assert environment["INTERTIE_AUDIT_ADDRESS"] == "127.0.0.1:7004"
    assert Path(environment["INTERTIE_DATA_DIR"]).is_absolute()


def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its setting."""
    monkeypatch.setenv("INTERTIE_MAPPER_LISTEN", "50053")
    with pytest.raises(StartupError, match="INTERTIE_MAPPER_LISTEN: 50053 is not host:port"):
        addresses.check_free(CliSettings.load(), ("mapper",))
