"""Folders of torch.distributed.checkpoint."""

import warnings

import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import FileSystemWriter


def save(state, folder, **settings):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        dcp.save(state, storage_writer=FileSystemWriter(folder, **settings), no_dist=True)
