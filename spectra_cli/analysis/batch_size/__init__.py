"""How numbers go with the batch size, over three or more runs."""
