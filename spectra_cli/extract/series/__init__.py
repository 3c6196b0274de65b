"""A series understood before it is scanned: what fits, what is odd, its probe, its reference, its weights."""
