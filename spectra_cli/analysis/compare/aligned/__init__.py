"""Runs at a point of equal loss, step or tokens: their spectra there, interpolated between checkpoints."""
