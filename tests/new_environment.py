"""New environments: what users have after installing packages, except that others are not downloaded again."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path


def new_environment(home: Path, *packages: Path) -> Path:
    """Create an environment in `home` with `packages` (wheels or folders) installed, and return its folder of programs.

    Other packages are those of this environment.
    """
    run(sys.executable, "-m", "venv", "--without-pip", str(home))
    own = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    others = [path for path in sys.path if path.endswith("site-packages")]
    Path(own, "others.pth").write_text("".join(f"{path}\n" for path in others))
    install(home / "bin", *packages)
    return home / "bin"


def install(programs: Path, *packages: Path) -> None:
    """Install wheels or folders into the environment with these programs."""
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, *options, *map(str, packages), PYTHONWARNINGS="default")  # of pip itself


def run(*command: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which must be a good one, with `more` in its environment."""
    clean = {name: value for name, value in os.environ.items() if name not in {"JITKIT_PLUGINS", "PYTHONPATH"}}
    done = subprocess.run(command, cwd=cwd, env=clean | more, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done
