"""Times between the store's form (naive, UTC) and the contracts'."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(moment: datetime | None) -> Timestamp | None:
    """The time for a message; None, which leaves the field unset, for none."""
    if moment is None:
        return None
    result = Timestamp()
    result.FromDatetime(moment)
    return result
