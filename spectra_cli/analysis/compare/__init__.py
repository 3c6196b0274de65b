"""Two or more runs at equal loss, step or tokens: where they differ, and whether beyond the noise."""
