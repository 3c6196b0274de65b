"""Formats of other programs that archives are exported to: one file a format."""
