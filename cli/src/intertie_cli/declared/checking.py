"""Asks registry what it would refuse of a declared configuration, and which credentials differ, changing nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from intertie.registry.v1 import check_pb2, check_pb2_grpc
from intertie_chassis.errors import Unimplemented
from intertie_cli.declared import messages
from intertie_cli.declared.credential_changes import Compared
from intertie_cli.declared.fields import SECTIONS
from intertie_cli.declared.live import State
from intertie_cli.declared.model import Key
from intertie_cli.declared.nodes import Problem
from intertie_cli.declared.pairs import Pair

_AT_ONCE = 100
_MOST_BYTES = 1024 * 1024
_SECONDS = 120.0

Asked = list[tuple[Pair, Any]]


@dataclass(slots=True)
class Verdict:
    """What registry says."""

    problems: list[Problem] = field(default_factory=list)
    #: of each connection, what is known of the credentials that are given and are set
    compared: dict[Key, dict[str, Compared]] = field(default_factory=dict)
    #: whether registry is of a version that can be asked
    is_known: bool = True


async def ask(
    stub: check_pb2_grpc.ConfigurationServiceStub, pairs: Sequence[Pair], state: State, *, skip_targets: bool
) -> Verdict:
    """Has the parts checked. Raises IntertieError."""
    verdict = Verdict()
    for some in _batches(pairs, state):
        request = check_pb2.CheckConfigurationRequest(skip_target_validation=skip_targets)
        by_kind: dict[str, list[Pair]] = {kind: [] for kind in SECTIONS.values()}
        for pair, message in some:
            section = next(name for name, kind in SECTIONS.items() if kind == pair.declared.kind)
            getattr(request, section).append(message)
            by_kind[pair.declared.kind].append(pair)
        try:
            answer = await stub.CheckConfiguration(request, timeout=_SECONDS)
        except Unimplemented:
            verdict.is_known = False
            break
        _note(answer, by_kind, verdict)
    return verdict


def _batches(pairs: Sequence[Pair], state: State) -> Iterator[Asked]:
    """The parts and their messages, as many at once as a call takes."""
    batch: Asked = []
    size = 0
    for pair in pairs:
        message = messages.of(pair, messages.number_of(pair, state))
        if batch and (len(batch) == _AT_ONCE or size + message.ByteSize() > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((pair, message))
        size += message.ByteSize()
    if batch:
        yield batch


def _note(answer: check_pb2.CheckConfigurationResponse, by_kind: dict[str, list[Pair]], verdict: Verdict) -> None:
    for problem in answer.problems:
        part = by_kind[problem.kind][problem.index].declared
        # What mapper finds it names by the key of the configuration.
        at = next((each for each in (problem.field, f"mapping_config.{problem.field}") if part.has(each)), "")
        # Registry's texts go on where the name of the field ends; mapper's stand by themselves.
        between = ": " if part.kind == "mapping" else " "
        text = between.join(word for word in (problem.field, problem.message) if word)
        verdict.problems.append(Problem(part.place(at), f"{part.title}: {text}"))
    for pair in by_kind["connection"]:
        verdict.compared[pair.declared.key] = dict.fromkeys(pair.declared.secrets, "same")
    for differing in answer.differing_secrets:
        key = by_kind["connection"][differing.index].declared.key
        verdict.compared[key][differing.field] = "differing"
