"""What a command found as an output: its tables, its document, its rows; a file a command."""
