"""Distances between whole spectra, each with its standard error and its noise floor."""
