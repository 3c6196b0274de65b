"""Runs, spectra and tables as values of Python."""
