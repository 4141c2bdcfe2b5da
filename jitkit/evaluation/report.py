"""The report as files: the document as JSON, and as one page that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jitkit.evaluation.chart import css_class, curves
from jitkit.evaluation.rows import LINE, columns_of, interval_of, label_of, largest_gain, misses_line
from jitkit.storage.atomic import atomic_write, make_folder


def write_report(report: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write `report.json` and `report.html` into `folder`, made if absent; return their paths.

    Raises ResourceError when the folder cannot be written.
    """
    make_folder(folder)
    texts = {
        folder / "report.json": json.dumps(report, ensure_ascii=False, indent=2, allow_nan=False) + "\n",
        folder / "report.html": report_html(report),
    }
    for path, text in texts.items():
        with atomic_write(path) as file:
            file.write(text.encode())
    return folder / "report.json", folder / "report.html"


def report_html(report: Mapping[str, Any]) -> str:
    """Return the report as one page: inline style and SVG, no script, nothing loaded; every value is escaped.

    Its content security policy allows the one style sheet by its hash and nothing else.
    """
    style = (files("jitkit.evaluation") / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("jitkit.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "number": _number,
        "short": _short,
        "percent": _percent,
        "words": _words,
        "misses_line": misses_line,
        "interval_of": interval_of,
    }
    measured = {name: report[name] for name in report["about"]}
    tables = [_table(name, rows) for name, rows in measured.items() if isinstance(rows, list) and rows]
    lines = [row for table in tables for row in table["rows"] if LINE in row and "t" in row]
    gain = largest_gain(lines)
    return environment.get_template("report.html.jinja").render(
        report=report,
        style=Markup(style),
        style_hash=f"sha256-{digest}",
        gain=gain and {"row": gain[0], "key": gain[1]},
        lines=lines,
        cards=[
            {"metric": name, "key": key, "value": value}
            for name, values in measured.items()
            if isinstance(values, dict)
            for key, value in values.items()
            if key in columns_of([values])
        ],
        tables=tables,
        facts=_facts(report),
    )


def _table(metric: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    columns, label = columns_of(rows), label_of(rows)
    names = [name for name in columns if name != "t"]
    return {
        "metric": metric,
        "label": label,
        "columns": columns,
        "rows": rows,
        "chart": "" if label or "t" not in columns else curves(rows, f"{_words(metric)} against t"),
        "legend": [{"name": name, "css": css_class(name, index)} for index, name in enumerate(names)],
        "misses": any(misses_line(row, name) for row in rows for name in names),
        "intervals": any(interval_of(row, name) for row in rows for name in names),
    }


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(report["versions"].items()))
    return [
        ("checkpoint", report["checkpoint"]),
        ("step, epoch", f"{report['step']}, {report['epoch']}"),
        ("held-out text", report["held_out"]),
        ("sampler", f"{report['sampler']['use']}, {report['sampler']['steps']} steps from noise"),
        *([("settings", ", ".join(report["set"]))] if report.get("set") else []),
        ("seed of the noise", str(report["seed"])),
        ("device", report["device"]),
        ("seconds", f"{report['seconds']:g}"),
        ("versions", versions),
    ]


IN_WORDS = {
    "cer": "character error rate",
    "exact": "exact matches",
    "judge_bits": "judge, bits a character",
    "entropy": "entropy, nats a token",
    "repeated": "repeated 12-grams",
    "distinct": "distinct word pairs",
    "compressed": "size after zlib",
    "characters": "characters a text",
    "ended": "ended by eos",
    "invalid": "invalid UTF-8",
}


def _words(name: str) -> str:
    return IN_WORDS.get(name, name.replace("_", " "))


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def _short(value: float) -> str:
    """Return a number that stands beside many others, with as many digits as its uncertainty deserves."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.3g}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
