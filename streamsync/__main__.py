"""`python -m streamsync`: the command where no console script is on the path."""

from streamsync.cli import main

main()
