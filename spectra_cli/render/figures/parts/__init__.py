"""What several figures are made of: lines, panels of spectra, trajectories, sentences of captions."""
