"""The file itself: written whole, sealed, and checked before HDF5 sees it."""
