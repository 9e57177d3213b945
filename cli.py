"""`python cli.py ...` is the installed command `kvgg ...`."""

from kvgg_jax.cli.main import main

main()
