"""From early spectra, or a loss curve, to the tokens that a run needs."""
