"""New environments: what users have after installing packages, except that others are not downloaded again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def new_environment(home: Path, *packages: Path) -> Path:
    """Create an environment in `home` with `packages` (wheels or folders) installed, and return its folder of programs.

    Other packages are those of this environment.
    """
    programs = empty_environment(home)
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages(programs) / "others.pth").write_text("".join(f"{path}\n" for path in others))
    install(programs, *packages)
    return programs


def empty_environment(home: Path) -> Path:
    """Create an environment without packages in `home`, and return its folder of programs."""
    run(sys.executable, "-m", "venv", "--without-pip", str(home))
    return home / "bin"


def site_packages(programs: Path) -> Path:
    """Return the folder of packages of the environment with these programs."""
    (folder,) = programs.parent.glob("lib/python*/site-packages")
    return folder


def install(programs: Path, *packages: Path) -> None:
    """Install wheels or folders into the environment with these programs."""
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, *options, *map(str, packages), PYTHONWARNINGS="default")  # of pip itself


def build(source: Path, target: str, folder: Path) -> Path:
    """Build the wheel or the sdist of a source folder into an empty `folder`, and return its path."""
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder), cwd=source)
    (path,) = folder.iterdir()
    return path


def run(*command: str, cwd: Path | None = None, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which must have the exit code `code`, with `more` in its environment."""
    clean = {name: value for name, value in os.environ.items() if name not in {"JITKIT_PLUGINS", "PYTHONPATH"}}
    done = subprocess.run(command, cwd=cwd, env=clean | more, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == code, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done
