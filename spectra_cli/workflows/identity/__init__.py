"""Whose checkpoints an archive holds: of which run, of which content, from which scans before"""
