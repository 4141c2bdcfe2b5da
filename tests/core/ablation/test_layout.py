"""The table and the plot say what the document says, whatever the cells are called."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from jitkit.ablation.dot_plot import dot_plot
from jitkit.ablation.figures import chosen, figures
from jitkit.ablation.table import markdown, number, tables

NASTY = '<script>"|`x`*[a](b)\n\x1b[31m'
SVG = "{http://www.w3.org/2000/svg}"


def row(cell: str, mean: float, half: float = 0.5, *, measured: str = "eval", at: str = "") -> dict[str, Any]:
    values = {"1": mean - half / 9, "2": mean + half / 9}
    figure = {"mean": mean, "low": mean - half, "high": mean + half, "values": values}
    return {
        "cell": cell,
        "eval": measured,
        "at": at,
        "seeds": dict.fromkeys("12", "trained"),
        "figures": {"a.x": figure},
    }


def document(*rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": "Which?",
        "grid": "grid.toml",
        "manifest": "tiny",
        "set": [],
        "seeds": [1, 2],
        "interval": "95 %",
        "columns": ["a.x"],
        "rows": list(rows),
    }


def test_a_table_has_mean_and_half_of_the_interval() -> None:
    lines = tables(document(row("one", 2.0), row("two", 12345.0, 10))).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["cell", "runs", "a.x"]
    assert cells[2:] == [["one", "2", "2.000 ± 0.500"], ["two", "2", "1.234e+04 ± 10.000"]]
    assert len({len(line) for line in lines}) == 1, "the columns stand below each other"


def test_what_is_not_measured_is_a_dash_and_how_runs_ended_is_said() -> None:
    other = row("b", 1.0) | {"figures": {}, "seeds": {"1": "diverged", "2": "waiting"}}
    assert "| b    | 1 diverged, 1 waiting |             - |" in tables(document(row("a", 1.0), other))


def test_every_measurement_has_a_table_of_its_own_columns() -> None:
    second = row("a", 3.0, measured="texts", at="sampler.gamma=2")
    second["figures"] = {"b.y": second["figures"]["a.x"]}
    page = markdown(document(row("a", 1.0), second) | {"columns": ["a.x", "b.y"]})
    loss, texts = page.split("## eval")[1].split("## texts")
    assert "b.y" not in loss
    assert "a.x" not in texts
    assert "| a    | sampler.gamma=2 | 2    |" in texts


def test_a_figure_is_marked_where_the_difference_is_certain() -> None:
    def with_difference(low: float, high: float) -> dict[str, Any]:
        changed = row("b", 1.0)
        changed["figures"]["a.x"]["difference"] = {"mean": (low + high) / 2, "low": low, "high": high}
        return changed

    same, less, more = with_difference(-1, 1), with_difference(-3, -1), with_difference(1, 3)
    marks = [line.count("0.500 *") for line in tables(document(same, less, more)).splitlines()[2:5]]
    assert marks == [0, 1, 1]
    assert "seed by seed" in markdown(document(same, less))
    assert "seed by seed" not in markdown(document(same))


def test_one_seed_claims_no_spread() -> None:
    alone = row("a", 1.0)
    alone["figures"]["a.x"] = {"mean": 1.0, "values": {"1": 1.0}}
    page = markdown(document(alone) | {"seeds": [1]})
    assert "nothing is known of the spread" in page
    assert "±" not in page


@pytest.mark.parametrize("name", [NASTY, "a|b", "\\|"])
def test_no_name_breaks_the_page_or_the_picture(name: str) -> None:
    wild = document(row(name, 1.0, at=name)) | {"summary": name}
    page = markdown(wild)
    assert "<script>" not in page.replace("\\<", "")
    assert "\x1b" not in page
    rule, line = page.splitlines()[5:7]
    bars = line.replace("\\\\", "").replace("\\|", "").count("|")
    assert bars == rule.count("|")
    picture = dot_plot(wild)
    assert "<script" not in picture
    assert "\x1b" not in picture
    ElementTree.fromstring(picture)


def test_the_plot_places_means_in_their_order_and_inside() -> None:
    means = [3.0, -1.0, 7.5, 7.4]
    picture = ElementTree.fromstring(dot_plot(document(*(row(f"cell {mean}", mean) for mean in means))))
    dots = [dot for dot in picture.iter(f"{SVG}circle") if dot.get("class") == "mean"]
    places = [float(dot.attrib["cx"]) for dot in dots]
    heights = [float(dot.attrib["cy"]) for dot in dots]
    assert sorted(range(4), key=places.__getitem__) == sorted(range(4), key=means.__getitem__)
    assert (places[0] - places[1]) / (places[2] - places[1]) == pytest.approx(4 / 8.5, abs=1e-2)
    assert heights == sorted(heights)
    width, height = map(float, picture.attrib["viewBox"].split()[2:])
    assert all(0 < x < width for x in places)
    assert all(0 < y < height for y in heights)
    rings = [float(ring.attrib["cx"]) for ring in picture.iter(f"{SVG}circle") if ring.get("class") is None]
    assert len(rings) == 2 * 4, "two seeds a row"
    assert places == pytest.approx([sum(rings[i : i + 2]) / 2 for i in range(0, 8, 2)], abs=0.2)
    assert rings[0] < places[0] < rings[1]


def test_a_plot_of_nothing_is_a_picture() -> None:
    ElementTree.fromstring(dot_plot(document() | {"columns": []}))
    same = document(row("a", 0.0, 0.0))
    assert "nan" not in dot_plot(same)


def test_figures_are_named_after_metric_row_and_key() -> None:
    report = json.loads(
        '{"about": {"m": "", "g": "", "r": "", "none": ""}, "m": {"loss": 1.5}, "none": [],'
        ' "g": [{"text": "model", "bits": 2.0, "bits_low": 1.0, "bits_high": 3.0}, {"text": "held-out", "bits": 1.0}],'
        ' "r": [{"t": 0.5, "hit": 0.25}, {"t": 0.9, "hit": 0.75}]}'
    )
    found = figures(report)
    assert found == {
        "m.loss": 1.5,
        "g.model.bits": 2.0,
        "g.held-out.bits": 1.0,
        "r.0.5.hit": 0.25,
        "r.0.9.hit": 0.75,
    }
    assert chosen(found, ()) == ["m.loss", "g.model.bits", "r.0.5.hit"]
    assert chosen(["train.seconds", *found], ("r.*", "train.*", "m.loss", "r.0.5.hit")) == [
        "r.0.5.hit",
        "r.0.9.hit",
        "train.seconds",
        "m.loss",
    ]


def test_numbers_have_as_many_digits_as_a_reader_needs() -> None:
    assert [number(value) for value in (0.12345, -5.0, 123.456, 1234.56, 123456.0)] == [
        "0.123",
        "-5.000",
        "123.5",
        "1234.6",
        "1.235e+05",
    ]
