"""Grams, eigenvalues and singular values in float64, side by side on the cores."""
