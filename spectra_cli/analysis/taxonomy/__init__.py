"""Learning-side or execution-side: what kind of change lies between two runs."""
