"""How figures are drawn: one renderer a drawing library, one file of styles."""
