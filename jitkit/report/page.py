"""Pages of one file: inline style and SVG, pictures inside, no script, nothing loaded, every value escaped."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jitkit.documents.rows import interval_of, misses_line, unlike_real

VISIBLE_CONTROLS = {"\n", "\t"}
CONTROLS = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # Unicode categories that would act on the page's text
IN_WORDS = {
    "cer": "character error rate",
    "contextless": "contextless: the noise alone, no model",
    "sampled": "eight steps",
    "exact": "exact matches",
    "judge_bits": "judge, bits a character",
    "entropy": "entropy, nats a token",
    "repeated": "repeated 12-grams",
    "distinct": "distinct word pairs",
    "compressed": "size after zlib",
    "characters": "characters a text",
    "copied": "longest copy, characters",
    "most_copied": "longest copy of all",
    "gen_ppl": "perplexity under GPT-2",
    "gpt2_entropy": "entropy, nats a GPT-2 token",
    "gpt2_tokens": "GPT-2 tokens a text",
    "judge_parameters": "parameters of GPT-2",
    "mauve": "MAUVE",
    "ode_likelihood": "ODE likelihood",
    "ended": "ended by eos",
    "invalid": "invalid UTF-8",
}
NUM_SHADES = 5


def render(template: str, **values: Any) -> str:
    """Return a page. Its content security policy allows its one style sheet by hash, pictures inside it, nothing else."""
    style = (files("jitkit.report") / "templates" / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("jitkit.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "short": short,
        "plain": plain,
        "percent": percent,
        "words": words,
        "letters": letters,
        "shade": shade,
    }
    environment.globals |= {"misses_line": misses_line, "unlike_real": unlike_real, "interval_of": interval_of}
    return environment.get_template(template).render(style=Markup(style), style_hash=f"sha256-{digest}", **values)


def words(name: str) -> str:
    """Return the name of a figure as people say it."""
    return IN_WORDS.get(name, name.replace("_", " "))


def number(value: float) -> str:
    """Return a number that stands alone."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def short(value: float) -> str:
    """Return a number that stands beside many others, with as many digits as its uncertainty deserves."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.3g}"


def plain(value: float) -> str:
    """Return a number that has no interval: a count as one, else as `short` does."""
    return f"{int(value):,}" if value > 1 and value == int(value) else short(value)


def percent(value: float) -> str:
    """Return a share."""
    return f"{100 * value:.1f} %"


def letters(text: str) -> str:
    """Return generated text with each character that would act on the page, and not be seen, as a sign."""
    return "".join(c if c in VISIBLE_CONTROLS or unicodedata.category(c) not in CONTROLS else _sign(c) for c in text)


def shade(share: float) -> str:
    """Return the class that colours a confidence between 0 and 1."""
    return f"sure-{min(NUM_SHADES - 1, int(share * NUM_SHADES))}"


def _sign(character: str) -> str:
    point = ord(character)
    return chr(0x2400 + point) if point < 0x20 else "\ufffd"
