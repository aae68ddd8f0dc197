"""`python -m assay` is the command `killassay`."""

from assay.cli import main

if __name__ == "__main__":
    main()
