"""Folders of torch.distributed.checkpoint."""

import warnings

from torch.distributed.checkpoint import state_dict_saver
from torch.distributed.checkpoint.filesystem import FileSystemWriter


def save(state, folder, **settings):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        state_dict_saver.save(state, storage_writer=FileSystemWriter(folder, **settings), no_dist=True)
