"""What the programs of several files have in common: how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from jitkit.errors import JitkitError, Stopped


def run(name: str, main: Callable[[Sequence[str]], None]) -> None:
    """Call `main` with the command line; an error is one line a problem and jitkit's exit code, as with `jitkit` itself."""
    try:
        main(sys.argv[1:])
    except Stopped as stopped:
        print(f"{name}: {stopped.problems[0].hint}", file=sys.stderr)
        sys.exit(stopped.code)
    except JitkitError as error:
        print("\n".join(f"{name}: error: {problem}" for problem in error.problems), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
