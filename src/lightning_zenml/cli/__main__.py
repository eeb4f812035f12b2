"""`python -m lightning_zenml.cli`: the command line, where its program is not on the path."""

from lightning_zenml.cli.main import main

if __name__ == "__main__":
    main()
