"""The embedded default: a toy task, its optimisers, and the two runs that `spectra demo` trains."""
