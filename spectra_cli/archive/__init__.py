"""The archive: the only user of h5py.

layout.py             names and places, format version
canonical.py          canonical JSON and digests
netcdf.py             dimensions and variables as netCDF-4 wants them
site_axis.py          the dimension `site`
checkpoint_table.py   one row a checkpoint
notice_kinds.py       what notices say, in files with and without their kinds
provenance.py         settings, probe, versions; what may share an archive
origin.py             where a run lies
statement.py          of what run a file is, and what is still to be measured
claims.py             the same of scans under way, beside the archive
measurement_group.py  spectra along checkpoint, site, block, rank
scalars_group.py      numbers along checkpoint, site, block
seal.py               a digest of every byte, after the last of them
global_heap.py        where HDF5 keeps texts, checked without HDF5
structure.py          what a file claims against what it is
guard.py              files without a seal, read first by a child process under limits
file_access.py        open for reading; damage becomes ArchiveError
single_file.py        read one file
reader.py             read an archive and its parts as one
atomic.py             replace a file whole
writer.py             write archives and parts, consolidate
rewritten.py          a file without a seal against itself written anew
validate.py           check a file against docs/reference/archive-format.md
"""
