"""The command `jitkit`, and `python -m jitkit` for environments whose scripts are not on the path."""

import signal

from jitkit.interpreter import collector_paused, end_process


def main() -> None:
    """Run the command line, and end the process. Ctrl-C prints no traceback, not even while modules are imported."""
    try:
        with collector_paused():
            from jitkit.cli import main as run

        run()
    except KeyboardInterrupt:
        end_process(128 + signal.SIGINT)
    except SystemExit as end:
        end_process(int(end.code or 0))


if __name__ == "__main__":
    main()
