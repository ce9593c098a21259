"""`python -m streams.cli`: what `countermand` runs, also where no script is installed."""

from streams.cli import main

if __name__ == "__main__":
    main()
