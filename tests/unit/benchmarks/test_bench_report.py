"""The report of a run: the table with its verdicts, and its place in the page."""

import pytest

from bench_samples import run_of
from figures import Figure
from report import BEGIN, END, number, published, render

ACCEPTED = Figure("accepted.mariadb", "accepted, MariaDB", "/s", (5000.0, 6000.0, 5500.0))


def test_each_goal_has_a_verdict() -> None:
    """The median, its rounds, both bounds."""
    assert "| accepted, MariaDB | 5,500/s | 5,000, 6,000, 5,500 | 5,000/s | 10,000/s | at least |" in render(
        run_of(ACCEPTED)
    )


def test_what_does_not_count_says_why() -> None:
    """No verdict is given on a figure of which some answers were refused."""
    bad = Figure(ACCEPTED.name, ACCEPTED.title, "/s", (20_000.0,), "3 of 9 answers were no 2xx")
    assert "| invalid: 3 of 9 answers were no 2xx |" in render(run_of(bad))


def test_what_has_no_goal_stands_beside() -> None:
    """References and details are told, with the machine and the command."""
    text = render(run_of(Figure("one_by_one", "one by one", "/s", (1000.0,))))
    for said in (
        "| one by one | 1,000/s |",
        "| gateway | 100 |",
        "processor abacus",
        "`make bench`",
        "Measured with care.",
    ):
        assert said in text


def test_a_run_takes_the_place_of_the_one_before() -> None:
    """What stands around the markers stays; publishing twice changes nothing."""
    page = f"# Speed\n{BEGIN}\nold\n{END}\nafter\n"
    once = published(page, run_of(ACCEPTED))
    assert once.startswith(f"# Speed\n{BEGIN}\n")
    assert once.endswith(f"{END}\nafter\n")
    assert "old" not in once
    assert published(once, run_of(ACCEPTED)) == once


def test_a_page_without_markers_is_left_alone() -> None:
    """It is not guessed where the run belongs."""
    with pytest.raises(ValueError, match="lacks the lines"):
        published("# Speed\n", run_of(ACCEPTED))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(12_345.6, "/s", "12,346/s"), (7.912, "ms", "7.91 ms"), (0.9666, "", "0.967"), (629.4, "MiB", "629 MiB")],
)
def test_numbers_have_three_digits_that_count(value: float, unit: str, text: str) -> None:
    """More would promise what no round repeats."""
    assert number(value, unit) == text
