"""What a function is asked for, in the words of the command line, made values."""
