"""Whether refusals can be told apart by the clock: Welch's t over interleaved samples of each kind of refusal.

    .venv/bin/python benchmarks/refusal_timing.py [--samples 20000] [--body 512]

In the manner of dudect (Reparaz, Balasch, Verbauwhede 2017): kinds take turns in random order, so that what disturbs
the machine disturbs them alike; the slowest tenth of all is cut off at one place for all kinds; each pair is compared.
A |t| below 4.5 says that these many samples show no difference. Measured is what a stranger could see at best: from the
parsed request to the noted refusal, without the network. Run it on a machine that does nothing else.
"""

import argparse
import gc
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from ingest_samples import JSON, desk, raw
from intertie_chassis.errors import IntertieError
from intertie_ingest.model import RawDelivery
from intertie_ingest.rejections import Rejections
from refusals import NOW, SECRET, signed_by_nobody, strangers

LIMIT = 4.5
KEPT = 0.9


def kinds(body: bytes) -> dict[str, Any]:
    """The deliveries of each kind, refused all of them. Each names a system of its own: what is used more often lies
    nearer to the processor, which says how much a system is sent, not what was wrong.
    """

    def secret(value: str, name: str = "secret") -> Any:
        return raw(body, name=name, headers={**JSON, "x-webhook-secret": [value.encode()]}, peer="192.0.2.1")

    everything = signed_by_nobody()
    return {
        "unknown system": secret(SECRET, "nobody"),
        "inactive system": secret(SECRET, "asleep"),
        "wrong first byte": secret("X" + SECRET[1:]),
        "wrong last byte": secret(SECRET[:-1] + "X", "second_secret"),
        "wrong length": secret(SECRET[:-4], "third_secret"),
        "two secrets": secret("X" + SECRET[1:], "rotating"),
        "HMAC system": secret(SECRET, "github"),
        "SHA-512 system": secret(SECRET, "generic"),
        "signed, unknown": raw(body, name="nobody", headers=everything, peer="192.0.2.1"),
        "signed, HMAC system": raw(body, name="github", headers=everything, peer="192.0.2.1"),
        "signed, public key": raw(body, name="public", headers=everything, peer="192.0.2.1"),
    }


def measure(samples: int, body_bytes: int, seed: int) -> dict[str, list[int]]:
    """Nanoseconds of each refusal, by kind."""
    here = desk(strangers(), now=NOW)
    deliveries = kinds(b'{"id": "1", "filler": "' + b"x" * body_bytes + b'"}')
    store: Any = None
    rejections = Rejections(store, store, lambda _: b"", timedelta(days=1))
    names = list(deliveries)
    order = random.Random(seed)
    taken: dict[str, list[int]] = {name: [] for name in names}
    gc.disable()
    for round_number in range(samples + 200):
        order.shuffle(names)
        for name in names:
            elapsed = _timed(here, rejections, _afresh(deliveries[name]))
            if round_number >= 200:  # the first ones warm up what is cached
                taken[name].append(elapsed)
        if round_number % 500 == 0:
            gc.collect()
    gc.enable()
    return taken


def _afresh(delivery: RawDelivery) -> RawDelivery:
    """The delivery as if it had just come: where in memory its parts lie must not be what is measured."""
    return replace(
        delivery,
        system=delivery.system.encode().decode(),
        body=bytes(bytearray(delivery.body)),
        headers={name: [bytes(bytearray(value)) for value in values] for name, values in delivery.headers.items()},
        peer=delivery.peer.encode().decode(),
    )


def _timed(here: Any, rejections: Rejections, delivery: Any) -> int:
    started = time.perf_counter_ns()
    try:
        here.take(delivery)
    except IntertieError as error:
        known = delivery.system if delivery.system in here.configuration.by_name else ""
        rejections.add(delivery, known, error)
        return time.perf_counter_ns() - started
    raise AssertionError("a stranger was let in")


def welch(one: Sequence[int], other: Sequence[int]) -> float:
    """Welch's t of two samples."""
    (mean_one, spread_one), (mean_other, spread_other) = _moments(one), _moments(other)
    return (mean_one - mean_other) / math.sqrt(spread_one / len(one) + spread_other / len(other))


def _moments(sample: Sequence[int]) -> tuple[float, float]:
    mean = math.fsum(sample) / len(sample)
    return mean, math.fsum((value - mean) ** 2 for value in sample) / (len(sample) - 1)


def trimmed(taken: dict[str, list[int]], is_of_group: Callable[[str], bool]) -> dict[str, list[int]]:
    """The samples of some kinds below the place where the slowest tenth of them all begins."""
    group = {name: sample for name, sample in taken.items() if is_of_group(name)}
    everything = sorted(value for sample in group.values() for value in sample)
    cut = everything[int(len(everything) * KEPT) - 1]
    return {name: [value for value in sample if value <= cut] for name, sample in group.items()}


def main() -> int:
    """Prints the means and the largest |t| of each group; 1 when it is beyond the limit."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--samples", type=int, default=20_000, help="of each kind")
    arguments.add_argument("--body", type=int, default=512, help="bytes")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    taken = measure(given.samples, given.body, given.seed)
    worst = 0.0
    # What comes with other headers may take another time: the sender chose them, and knows.
    for title, is_of_group in (
        ("a secret", lambda name: not name.startswith("signed")),
        ("signatures of all schemes", lambda name: name.startswith("signed")),
    ):
        group = trimmed(taken, is_of_group)
        print(f"presented: {title}; {given.samples} samples each, body of {given.body} bytes, seed {given.seed}")
        for name, sample in group.items():
            mean, spread = _moments(sample)
            print(f"  {name:22} {mean / 1000:9.3f} us, standard deviation {math.sqrt(spread) / 1000:7.3f}")
        names = list(group)
        for index, name in enumerate(names):
            for other in names[index + 1 :]:
                score = welch(group[name], group[other])
                worst = max(worst, abs(score))
                print(f"    {name} / {other}: t = {score:+.2f}{'  BEYOND' if abs(score) > LIMIT else ''}")
    print(f"largest |t| {worst:.2f}, limit {LIMIT}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
