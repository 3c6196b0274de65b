"""Questions answered from archive values alone, a folder each."""
