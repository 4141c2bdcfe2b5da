"""The table and the plot show the document, for any cell names."""

from __future__ import annotations

import json
import math
from typing import Any
from xml.etree import ElementTree

import pytest

from jitkit.ablation.dot_plot import dot_plot
from jitkit.ablation.results import figures, select_columns
from jitkit.ablation.shares import with_clipped_shares
from jitkit.ablation.table import markdown, tables

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


def test_a_table_has_the_mean_and_the_interval() -> None:
    lines = tables(document(row("one", 2.0), row("two", 12345.0, 10))).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["cell", "runs", "a.x"]
    assert cells[2:] == [["one", "2", "2.000 [1.500, 2.500]"], ["two", "2", "1.234e+04 [1.234e+04, 1.236e+04]"]]
    assert len({len(line) for line in lines}) == 1, "columns are aligned"


def test_intervals_of_shares_never_leave_0_to_1_in_tables() -> None:
    rows = [row("a", 0.63, 1.238), row("b", 1.0, 0.162), row("c", 0.0, 0.329)]
    for each in rows:
        each["figures"]["a.x"]["values"] = {"1": 0.0, "2": 1.0}
    rows = with_clipped_shares(rows)
    assert "0.630 [0.000, 1.000]" in tables(document(*rows))
    assert "1.000 [0.838, 1.000]" in tables(document(*rows))
    assert "0.000 [0.000, 0.329]" in tables(document(*rows))
    losses = [{**one, "figures": {"a.loss": one["figures"]["a.x"]}} for one in [row("a", 0.63, 1.238)]]
    assert with_clipped_shares(losses) == losses


def test_missing_figures_are_dashes_and_outcomes_are_counted() -> None:
    other = row("b", 1.0) | {"figures": {}, "seeds": {"1": "diverged", "2": "waiting"}}
    assert "| b    | 1 diverged, 1 waiting |                    - |" in tables(document(row("a", 1.0), other))


def test_every_evaluation_has_its_own_table() -> None:
    second = row("a", 3.0, measured="texts", at="sampler.gamma=2")
    second["figures"] = {"b.y": second["figures"]["a.x"]}
    page = markdown(document(row("a", 1.0), second) | {"columns": ["a.x", "b.y"]})
    loss, texts = page.split("## eval")[1].split("## texts")
    assert "b.y" not in loss
    assert "a.x" not in texts
    assert "| a    | sampler.gamma=2 | 2    |" in texts


def test_a_figure_is_marked_if_the_interval_of_the_difference_excludes_zero() -> None:
    def with_difference(low: float, high: float) -> dict[str, Any]:
        changed = row("b", 1.0)
        changed["figures"]["a.x"]["difference"] = {"mean": (low + high) / 2, "low": low, "high": high}
        return changed

    same, less, more = with_difference(-1, 1), with_difference(-3, -1), with_difference(1, 3)
    marks = [line.count("1.500] *") for line in tables(document(same, less, more)).splitlines()[2:5]]
    assert marks == [0, 1, 1]
    assert "paired by seed" in markdown(document(same, less))
    assert "paired by seed" not in markdown(document(same))


def test_a_single_seed_has_no_interval() -> None:
    alone = row("a", 1.0)
    alone["figures"]["a.x"] = {"mean": 1.0, "values": {"1": 1.0}}
    page = markdown(document(alone) | {"seeds": [1]})
    assert "the spread is unknown" in page
    assert "interval" not in page


@pytest.mark.parametrize("name", [NASTY, "a|b", "\\|"])
def test_no_name_breaks_the_page_or_the_plot(name: str) -> None:
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


def test_the_plot_orders_means_and_keeps_them_inside() -> None:
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


def test_an_empty_plot_is_valid() -> None:
    ElementTree.fromstring(dot_plot(document() | {"columns": []}))
    same = document(row("a", 0.0, 0.0))
    assert "nan" not in dot_plot(same)


def test_figures_are_named_by_metric_row_and_key() -> None:
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
    assert select_columns(found, ()) == ["m.loss", "g.model.bits", "r.0.5.hit"]
    assert select_columns(["train.seconds", *found], ("r.*", "train.*", "m.loss", "r.0.5.hit")) == [
        "r.0.5.hit",
        "r.0.9.hit",
        "train.seconds",
        "m.loss",
    ]


def ticks(plot: str) -> dict[float, float]:
    """Return the horizontal position of each tick."""
    texts = [text for text in ElementTree.fromstring(plot).iter(f"{SVG}text") if text.get("text-anchor") == "middle"]
    return {float(text.text or ""): float(text.attrib["x"]) for text in texts}


@pytest.mark.parametrize(("mean", "half"), [(0.4321, 0.0123), (3.1, 0.77), (1234.0, 17.0)])
def test_ticks_are_round_and_enclose_the_interval(mean: float, half: float) -> None:
    found = list(ticks(dot_plot(document(row("a", mean, half)))))
    step = found[1] - found[0]
    assert found[0] <= mean - half < mean + half <= found[-1]
    assert 3 <= len(found) <= 7
    assert any(
        math.log10(step / factor) == pytest.approx(round(math.log10(step / factor))) for factor in (1, 2, 2.5, 5)
    )


def test_intervals_of_shares_end_at_1() -> None:
    plot = dot_plot(document(row("a", 0.95, 0.3)))
    (bar,) = [line for line in ElementTree.fromstring(plot).iter(f"{SVG}polyline") if line.get("stroke-width")]
    assert max(ticks(plot)) == 1
    assert float(bar.attrib["points"].split()[1].split(",")[0]) == ticks(plot)[1]
    loss = document(row("a", 0.95, 0.3)) | {"columns": ["a.loss"]}
    loss["rows"][0]["figures"] = {"a.loss": loss["rows"][0]["figures"]["a.x"]}
    assert max(ticks(dot_plot(loss))) > 1.2, "a loss is not a share"


@pytest.mark.parametrize("share", [0.0, 1.0, 0.999])
def test_an_axis_of_shares_never_leaves_0_to_1(share: float) -> None:
    found = ticks(dot_plot(document(row("a", share, 0.0))))
    assert 0 <= min(found) < max(found) <= 1
    (mean,) = (
        dot
        for dot in ElementTree.fromstring(dot_plot(document(row("a", share, 0.0)))).iter(f"{SVG}circle")
        if dot.get("class") == "mean"
    )
    assert min(found.values()) <= float(mean.attrib["cx"]) <= max(found.values())
