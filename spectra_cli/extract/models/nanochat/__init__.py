"""nanochat's model, as its training code changed it over time."""
