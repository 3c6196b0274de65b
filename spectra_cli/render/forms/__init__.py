"""The forms of output: one file a form."""
