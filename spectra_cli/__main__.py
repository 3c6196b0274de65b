"""`python -m spectra_cli` is `spectra`."""

from spectra_cli.cli.app import main

if __name__ == "__main__":
    main()
