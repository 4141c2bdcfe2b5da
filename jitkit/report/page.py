"""Self-contained HTML pages: inline style, SVG and images, no script, nothing loaded, every value escaped."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jitkit.documents.rows import differs_from_real, format_cell, format_interval, format_value, misses_baseline

VISIBLE_CONTROLS = {"\n", "\t"}
CONTROLS = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # Unicode categories that could change how the page's text is shown
NUM_SHADES = 5
LABELS = {
    "cer": "character error rate",
    "contextless": "context-free baseline",
    "bigram": "bigram baseline",
    "one_step": "one step",
    "sampled": "eight steps",
    "exact": "exact matches",
    "judge_bits": "n-gram model, bits/char",
    "entropy": "entropy, nats/token",
    "repeated": "repeated 12-grams",
    "distinct": "distinct word pairs",
    "compressed": "size after zlib",
    "characters": "characters per text",
    "copied": "longest copy, characters",
    "most_copied": "longest copy of all",
    "gen_ppl": "perplexity under GPT-2",
    "gpt2_entropy": "entropy, nats/GPT-2 token",
    "gpt2_tokens": "GPT-2 tokens per text",
    "judge_parameters": "parameters of GPT-2",
    "mauve": "MAUVE",
    "ode_likelihood": "ODE likelihood",
    "ended": "ended by eos",
    "invalid": "invalid UTF-8",
    "valid": "correct stories",
    "distance": "distance of choices",
    "worst_distance": "largest distance",
}


def label(name: str) -> str:
    """Return the name of a metric or number in words."""
    return LABELS.get(name, name.replace("_", " "))


def render(template: str, **values: Any) -> str:
    """Return a page. Its content security policy allows its style sheet, by hash, and inline images only."""
    style = (files("jitkit.report") / "templates" / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _templates().get_template(template).render(style=Markup(style), style_hash=f"sha256-{digest}", **values)


@cache
def _templates() -> Environment:
    """Return the templates of pages. Compiling them takes longer than rendering, and each validation writes a page."""
    environment = Environment(
        loader=PackageLoader("jitkit.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"value": format_value, "label": label, "letters": letters, "shade": shade}
    functions = (format_cell, format_interval, misses_baseline, differs_from_real)
    environment.globals |= {function.__name__: function for function in functions}
    return environment


def letters(text: str) -> str:
    """Return text with invisible control characters replaced by visible symbols."""
    invisible = {c for c in text if unicodedata.category(c) in CONTROLS} - VISIBLE_CONTROLS
    return text.translate({ord(c): chr(0x2400 + ord(c)) if ord(c) < 0x20 else "\ufffd" for c in invisible})


def shade(share: float) -> str:
    """Return the CSS class that colors a confidence in [0, 1]."""
    return f"sure-{min(NUM_SHADES - 1, int(share * NUM_SHADES))}"
