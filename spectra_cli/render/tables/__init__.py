"""Tables of the commands with more than a few: a file a command, and one a kind of evidence."""
