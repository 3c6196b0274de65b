"""Words, numbers and lists as a reader wants them, the same in every room."""
