"""What the statistics make of few samples of a known spectrum: the figures and tables of their pages."""
