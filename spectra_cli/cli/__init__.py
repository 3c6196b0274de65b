"""The command line. One file a command: parse, call one workflow, render, exit code."""
