"""A series understood with no weight read: what fits, what is odd, its probe, its reference."""
