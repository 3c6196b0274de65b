"""What stands in an archive: tables, groups and attributes, and their one spelling."""
