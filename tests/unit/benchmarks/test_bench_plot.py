"""The picture of a run's rates."""

from xml.etree import ElementTree

import pytest

from bench_samples import run_of
from figures import Figure
from plot import Bar, axis_step, bars, render

SVG = "{http://www.w3.org/2000/svg}"


def test_a_bar_is_as_long_as_its_value() -> None:
    """One of half the value is half as long, on an axis that begins at zero."""
    root = ElementTree.fromstring(
        bars("rates", [Bar("whole", 100, 90, 110, "#123456"), Bar("half", 50, 50, 50, "#123456")])
    )
    widths = [float(rect.attrib["width"]) for rect in root.iter(f"{SVG}rect") if rect.attrib["fill"] == "#123456"]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)


def test_texts_are_escaped_and_shown() -> None:
    """Any title makes a document."""
    root = ElementTree.fromstring(bars("a < b & c", [Bar("<bar>", 1234.5, 1, 2000, "red", (10.0, 3000.0))]))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"a < b & c", "<bar>", "1,234"} <= set(texts)


def test_figures_that_do_not_count_are_not_drawn() -> None:
    """An invalid rate may be a high one."""
    valid = Figure("accepted.sqlite", "accepted, SQLite", "/s", (5000.0,))
    invalid = Figure("accepted.mariadb", "accepted, MariaDB", "/s", (90_000.0,), "all were refused")
    drawn = render(run_of(valid, invalid))
    assert "accepted, SQLite" in drawn
    assert "accepted, MariaDB" not in drawn


@pytest.mark.parametrize(("longest", "step"), [(1, 1), (5, 1), (5.1, 2), (44_000, 10_000), (50_001, 20_000)])
def test_the_axis_ends_at_a_round_number(longest: float, step: float) -> None:
    """Five steps reach as far as the longest bar."""
    assert axis_step(longest) == step


def test_nothing_measured_is_an_empty_picture() -> None:
    """It is a document all the same."""
    assert ElementTree.fromstring(render(run_of())).tag == f"{SVG}svg"
