"""Build the documentation site in build/site: python docs/site/build.py [BUILDER [FOLDER]]

The builder is `html`, or `linkcheck` for the addresses of other sites. Warnings are errors. To publish several
versions, put each into a folder with its name, and a versions.json with the names of all into each of these folders.
"""

import shutil
import sys
from pathlib import Path

from pages import ROOT, site_files

try:
    from sphinx.cmd.build import build_main
except ImportError as error:
    sys.exit(f"{error}: pip install 'jitkit[docs]'")

HERE = Path(__file__).parent


def collect(folder: Path) -> None:
    """Bring `folder` up to date with the files of the site. Files that did not change keep their time."""
    wanted = {folder / name: content for name, content in site_files().items()}
    for path in [path for path in folder.rglob("*") if path.is_file() and path not in wanted]:
        path.unlink()
    for path, content in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content.read_bytes()
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)


def main(builder: str = "html", folder: str = "build") -> int:
    """Build, and return Sphinx's exit code."""
    build = ROOT / folder
    pages, out = build / "site-pages", build / ("site" if builder == "html" else builder)
    collect(pages)
    shutil.rmtree(out, ignore_errors=True)
    strict = ["-W", "--keep-going", "-n", "-q", "-E"]  # all files, so that a second try shows the same warnings
    folders = ["-c", str(HERE), "-d", str(build / "site-doctrees"), str(pages), str(out)]
    return build_main(["-b", builder, *strict, *folders])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
