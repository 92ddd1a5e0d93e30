"""When a grant ends: as requests say it, as the feed tells it, and what audit hears of it."""

from datetime import datetime

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_registry import feed_convert, grant_convert
from intertie_registry.audit_entries import changed_fields
from intertie_registry.feed_convert import Trust
from intertie_registry.model import Grant, System, SystemImage, digest

END = datetime(2027, 1, 31, 12, 0, 5)


def _asked(end: Timestamp | None) -> registry_pb2.CreateGrantRequest:
    grant = registry_pb2.Grant(module_name="events", system="police", expires_at=end)
    return registry_pb2.CreateGrantRequest(grant=grant)


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def test_a_grant_ends_to_the_second_or_never() -> None:
    """What is shorter than a second is cut off: no grant lasts longer than was said."""
    assert grant_convert.new_grant(_asked(None)).expires_at is None
    made = grant_convert.new_grant(_asked(_stamp(END.replace(microsecond=999_999))))
    assert made.expires_at == END
    assert grant_convert.grant_message(made).expires_at == _stamp(END)
    assert (made.has_ended(END), made.has_ended(END.replace(second=4))) == (True, False)


@pytest.mark.parametrize(
    "end", [Timestamp(seconds=0), Timestamp(seconds=-5), Timestamp(seconds=2**31), Timestamp(seconds=1, nanos=-1)]
)
def test_an_end_that_no_column_keeps_is_refused(end: Timestamp) -> None:
    """Else the database would refuse it, or keep another one."""
    with pytest.raises(InvalidArgument) as refused:
        grant_convert.new_grant(_asked(end))
    assert [field for field, _ in refused.value.violations] == ["grant.expires_at"]


def test_a_mask_that_names_it_can_take_the_end_away() -> None:
    """Without its name it stays as it is."""

    def changes(*paths: str) -> dict[str, object]:
        request = registry_pb2.UpdateGrantRequest(grant=registry_pb2.Grant(id=1), update_mask=FieldMask(paths=paths))
        return grant_convert.grant_changes(request)

    assert changes("expires_at") == {"expires_at": None}
    assert changes("access_type") == {"access_type": "read"}


def test_the_feed_tells_when_it_ends() -> None:
    """Absent for one that does not."""
    grants = (Grant(1, 1, "events", expires_at=END), Grant(2, 1, "surveys"))
    [message] = feed_convert.snapshot({1: SystemImage(System(1, "police"), grants=grants)}, Trust.NONE)
    ending, lasting = message.systems[0].grants
    assert ending.expires_at == _stamp(END)
    assert not lasting.HasField("expires_at")


def test_audit_hears_that_the_end_changed() -> None:
    """By its name, as of every other field."""
    lasting, ending = Grant(1, 1, "events"), Grant(1, 1, "events", expires_at=END)
    assert changed_fields(lasting, ending) == changed_fields(ending, lasting) == ("expires_at",)
    assert "expires_at" in changed_fields(None, ending)
    assert "expires_at" not in changed_fields(None, lasting)


def test_a_grant_without_an_end_is_known_by_the_digest_that_it_always_had() -> None:
    """Else whoever upgrades would find each of his grants in the log, as changed by SQL."""
    grant = Grant(7, 3, "events", "read_write", '{"tables": ["a"]}')
    assert digest(grant) == "9ee2dbe81856acbbf81094267fbdb8c62e44c1edc8b272cb04413bf6aee84b39"
    assert digest(Grant(7, 3, "events", "read_write", '{"tables": ["a"]}', expires_at=END)) != digest(grant)
