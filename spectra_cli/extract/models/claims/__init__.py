"""What a configuration claims, held against the tensors before memory or time is spent."""
