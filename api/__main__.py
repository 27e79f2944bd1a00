"""`python -m api` is `wattbook`."""

from api.cli import main

main()
