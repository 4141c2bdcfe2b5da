"""`python -m jitkit` is the command `jitkit`, for environments whose scripts are not on the path."""

from jitkit.cli import main

main()
