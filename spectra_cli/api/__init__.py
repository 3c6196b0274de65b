"""The Python API: a function a command, in the command's words, and runs as values."""
