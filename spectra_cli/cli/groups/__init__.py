"""Groups of options, each stated once: a command takes a group as one value."""
