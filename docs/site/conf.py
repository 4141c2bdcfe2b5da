"""Configuration of the documentation site. See build.py."""

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import jitkit

HERE = Path(__file__).parent

project = "jitkit"
author = copyright = "the jitkit authors"
version = release = jitkit.__version__
root_doc = "index"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]

# Markdown, as on GitHub
myst_heading_anchors = 6
myst_enable_extensions: list[str] = []
nb_execution_mode = "off"

# Docstrings: `names` in single backticks are links if the site has them, and code otherwise
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True, "exclude-members": "model_config"}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
smartquotes = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"
UNREADABLE = r"<function ([\w.]+)>|~?typing\.Annotated\[([\w.~]+), .*?\)\]"  # a default value, the range of a field
FOREIGN = r"(torch|PIL|pluggy)\.(?!Tensor$)"  # shown with their package
PUBLIC = r"(?!jitkit\.(protocols|hookspecs)\.|jitkit\.\w+$)"  # what has to be in the reference
nitpick_ignore_regex = [
    ("py:obj", rf"{PUBLIC}.*"),  # an argument, a key, a value, or a name for those who read the source
    ("py:(class|meth)", rf"{PUBLIC}.*"),  # of another package, or a type that users only pass on
]

PHONE_LINE = 30  # characters, in a list within a list

linkcheck_timeout = 20
linkcheck_retries = 3
linkcheck_anchors = False

html_theme = "furo"
html_title = "jitkit"
html_logo = html_favicon = "static/logo.svg"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_extra_path = ["versions.json"]
templates_path = ["templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "versions.html",
        "sidebar/scroll-end.html",
    ]
}
html_context = {"versions": json.loads((HERE / "versions.json").read_text(encoding="utf-8"))}
html_show_sphinx = False
html_copy_source = html_show_sourcelink = False


def read_comments(app: Sphinx) -> None:
    """Let autodoc see the comments behind fields: it reads ``#:`` only."""
    del app
    for path in sorted(Path(jitkit.__file__).parent.rglob("*.py")):
        parts = path.relative_to(Path(jitkit.__file__).parents[1]).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        source = re.sub(r"(?m)^( +\w+: .*  )# (?!type:|noqa)", r"\1#: ", path.read_text(encoding="utf-8"))
        ModuleAnalyzer.cache["module", name] = ModuleAnalyzer.for_string(source, name, str(path))


def readable_signature(*event: Any) -> tuple[str, str | None] | None:
    """Show a protocol without its constructor, which nobody calls, and others without what Sphinx cannot parse or link."""
    *_, source, _, signature, returns = event
    if getattr(source, "_is_protocol", False):
        return "", None
    return signature and (re.sub(UNREADABLE, r"\1\2", signature.replace("<factory>", "...")), returns)


def hide_numbers_of_fields(*event: Any) -> None:
    """Drop the docstrings that Python writes for the fields of a named tuple."""
    if event[-1][:1] and event[-1][0].startswith("Alias for field number"):
        event[-1].clear()


def mark_long_code(app: Sphinx, page: nodes.document, name: str) -> None:
    """Let the style sheet break code with a word that does not fit into a line of a phone."""
    del app, name
    for code in page.findall(nodes.literal):
        if any(len(word) > PHONE_LINE for word in code.astext().split()):
            code["classes"].append("long")


def break_numbers(app: Sphinx, page: nodes.document, name: str) -> None:
    """Let numbers of a table break before `at 4.27` and `(3.74 to 3.87)` only."""
    del app, name
    for body in page.findall(nodes.tbody):
        for cell in [cell for cell in body.findall(nodes.entry) if "text-right" in cell["classes"]]:
            for text in list(cell.findall(nodes.Text)):
                text.parent.replace(text, nodes.Text(re.sub(r" (?!at |\()", "\N{NO-BREAK SPACE}", text)))


def name_packages(app: Sphinx, page: nodes.document) -> None:
    """Show the types of other packages as `torch.device`, in signatures that show `Pipeline` and `Tensor`."""
    del app
    for signature in page.findall(addnodes.desc_signature):
        for link in signature.findall(addnodes.pending_xref):
            if re.match(FOREIGN, name := link["reftarget"]):
                link[:] = [nodes.Text(name)]


def close_gaps(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Drop the line breaks that Sphinx adds to the lines of a source page around its frame of a definition."""
    del app, template, doctree
    if page.startswith("_modules/"):
        body = re.sub(r'(<div class="viewcode-block".*>)\n(.*</a>)\n', r"\1\2", context["body"])
        context["body"] = re.sub(r"(</div>\n)+\n", lambda ends: ends[0].replace("\n", ""), body)


def setup(app: Sphinx) -> None:
    """Connect what this site adds to Sphinx."""
    app.connect("autodoc-process-signature", readable_signature)
    app.connect("autodoc-process-docstring", hide_numbers_of_fields)
    app.connect("builder-inited", read_comments)
    app.connect("doctree-read", name_packages)
    app.connect("doctree-resolved", mark_long_code)
    app.connect("doctree-resolved", break_numbers)
    app.connect("html-page-context", close_gaps)
