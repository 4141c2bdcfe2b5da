"""The command `jitkit`, and `python -m jitkit` for environments whose scripts are not on the path."""

import gc
import signal
import sys

NEW_OBJECTS = 10_000  # before the garbage collector runs; with the 700 of Python, imports take 0.1 s longer


def main() -> None:
    """Run the command line. Ctrl-C ends it without a traceback also while its modules are imported."""
    gc.set_threshold(NEW_OBJECTS)
    try:
        from jitkit.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
