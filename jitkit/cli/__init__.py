"""The command line. Each command parses its options, calls the library, and prints the result."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import replace
from typing import Annotated

import typer

from jitkit import __version__
from jitkit.cli.commands import COMMANDS
from jitkit.cli.lazy import Group
from jitkit.cli.usage import TyperUsageError, usage_error
from jitkit.discovery.loader import PluginManager, create_plugin_manager
from jitkit.errors import JitkitError, Problem, ResourceError, Stopped, as_jitkit_error, io_reason
from jitkit.filesystem import similar_path
from jitkit.output import fix_terminal_size, loss, protect_streams

HELP = """Train, evaluate, and use diffusion language models in pixel space.

Text becomes tokens, tokens become the colors of a small image, and a JiT learns to turn noise into such images.

Example: jitkit train jit-nano --minutes 8
"""


class Root(Group):
    """The commands of jitkit."""

    members = COMMANDS


def build_app(manager: PluginManager) -> typer.Typer:
    """Return the app with all commands, including those of plugins."""
    names = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(name="jitkit", cls=Root, help=HELP, rich_markup_mode=None, context_settings=names)
    app.callback()(_global_options)
    manager.hook.jitkit_cli(app=app)
    return app


def _print_version(requested: bool) -> None:
    if requested:
        sys.stdout.write(f"jitkit {__version__}\n")
        raise typer.Exit


def _global_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    del version  # handled by its callback
    if debug:
        os.environ["JITKIT_DEBUG"] = "1"


def main() -> None:
    """Run the command line and exit with its code."""
    protect_streams()
    fix_terminal_size(os.environ)
    code = _run()
    sys.exit(_lost_result() if code == 0 else code)


def _lost_result() -> int:
    """Return the exit code of a command that has succeeded: 0 if its result could be written to stdout."""
    error = loss(sys.stdout)
    if error is None:
        return 0
    if isinstance(error, BrokenPipeError):  # the reader has seen enough: what the shell reports for `yes | head`
        return 128 + signal.SIGPIPE
    return _report(ResourceError(io_reason(error), "a file that can be written", file="stdout"))


def _run() -> int:
    try:
        command = typer.main.get_command(build_app(create_plugin_manager()))
        for parameter in command.params:  # typer's own for completion
            parameter.default = False  # pydantic would be imported to convert None
        return command.main(prog_name="jitkit", standalone_mode=False) or 0
    except TyperUsageError as error:
        return _report(usage_error(error))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except (KeyboardInterrupt, typer.Abort):
        return 128 + signal.SIGINT
    except Exception as error:
        return _report(as_jitkit_error(error))


def _report(error: JitkitError) -> int:
    """Print an error and return the exit code. Of the processes that `torchrun` starts, only the first to fail prints one."""
    error.problems = tuple(map(_with_similar_path, error.problems))
    if "MASTER_ADDR" not in os.environ:  # one process; torch need not be imported
        _print(error)
        return error.code
    from jitkit.parallel import launched_by_torchrun, reporting_once

    with reporting_once("\n".join(error.lines()), error.code) as first:
        if first:
            names_rank = launched_by_torchrun() and not isinstance(error, Stopped)
            _print(error, f" (rank {os.environ.get('RANK')} of {os.environ['WORLD_SIZE']})" if names_rank else "")
    return error.code


def _with_similar_path(problem: Problem) -> Problem:
    """Return a problem whose hint names a similar path if it has none and its file does not exist."""
    missing = problem.file if problem.found.startswith("no such") and not problem.hint else None
    return replace(problem, hint=similar_path(missing)) if missing else problem


def _print(error: JitkitError, process: str = "") -> None:
    if os.environ.get("JITKIT_DEBUG"):
        traceback.print_exception(error)
    sys.stderr.writelines(f"jitkit{process}: {line}\n" for line in error.lines())
    if "--json" in sys.argv and error.lines():
        from jitkit.cli.console import print_json

        print_json(error.as_json())
