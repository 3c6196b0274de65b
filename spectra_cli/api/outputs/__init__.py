"""What of the Python API alone is shown: runs, spectra, tidy tables, and a scan with what it measured."""
