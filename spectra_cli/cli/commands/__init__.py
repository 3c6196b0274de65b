"""A file a command: its arguments and options, and what it does with them."""
