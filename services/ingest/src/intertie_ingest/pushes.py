"""What the body of a push says: a system, a mapping, and data whose bytes stay as they came."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json import JSONDecoder, decoder

from intertie_chassis.errors import InvalidArgument
from intertie_ingest import errors
from intertie_ingest.bodies import document_of, refuse_repeated_keys
from intertie_ingest.media_types import MediaType
from intertie_mapping.documents import Document

MOST_NAME_CHARACTERS = 100

# The scanners of the standard library give the place where a value ends; typeshed knows neither.
_scan: Callable[[str, int], tuple[object, int]] = vars(JSONDecoder())["scan_once"]
_scan_text: Callable[[str, int, bool], tuple[str, int]] = vars(decoder)["scanstring"]


@dataclass(frozen=True, slots=True)
class Pushed:
    """What the body of a push says."""

    system: str
    mapping: str
    document: Document


def check_name(field: str, name: str) -> None:
    """Raises InvalidArgument unless it may be a name: 1 to 100 characters, no `/`, no control characters."""
    if not 1 <= len(name) <= MOST_NAME_CHARACTERS or "/" in name or not (name.isprintable() or _has_no_controls(name)):
        raise InvalidArgument(
            f"{field} must be a name of 1 to 100 characters without / and control characters",
            violations=[(field, "is not such a name")],
        )


def pushed_by(body: bytes, kind: MediaType) -> Pushed:
    """What the body of a push says; the bytes of `data` stay as they came. Raises InvalidArgument."""
    document = document_of(body, kind)
    if document.is_array:
        raise errors.InvalidJson("The body of a push must be an object with system, mapping and data.")
    whole = document.records[0]
    refuse_repeated_keys(whole)
    violations = [(name, "must be a text") for name in ("system", "mapping") if type(whole.value.get(name)) is not str]
    data = whole.value.get("data")
    if kind is MediaType.FORM and isinstance(data, str):
        inner = data.encode()
    elif isinstance(data, dict | list):
        inner = _slice(whole.raw.decode(), "data")
    else:
        violations.append(("data", "must be an object, or an array of objects"))
    if violations:
        named = ", ".join(name for name, _ in violations)
        raise InvalidArgument(f"a push needs system, mapping and data; look at {named}", violations=violations)
    check_name("system", str(whole.value["system"]))
    pushed = document_of(inner)
    for record in pushed.records:
        refuse_repeated_keys(record)
    return Pushed(str(whole.value["system"]), str(whole.value["mapping"]), pushed)


def pushed_data(system: str, mapping: str, data: bytes) -> Pushed:
    """A push whose system and mapping stand beside its data. Raises InvalidArgument."""
    check_name("system", system)
    document = document_of(data)
    for record in document.records:
        refuse_repeated_keys(record)
    return Pushed(system, mapping, document)


def _slice(text: str, wanted: str) -> bytes:
    """The bytes of one member of the object in `text`, which is known to be valid and to have it once."""
    for key, start, end in _members(text):
        if key == wanted:
            return text[start:end].encode()
    raise KeyError(wanted)


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    position = text.index("{") + 1
    while (quote := text.find('"', position)) >= 0:
        key, position = _scan_text(text, quote + 1, True)
        start = text.index(":", position) + 1
        while text[start] in " \t\n\r":
            start += 1
        _, end = _scan(text, start)
        yield key, start, end
        position = end


def _has_no_controls(name: str) -> bool:
    return not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in name)
