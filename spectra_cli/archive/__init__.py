"""The archive: the only user of h5py. What stands in a file is in `content`, the file itself in `file`."""
