"""The report: one page that says what changed inside, shows it, and lets its reader look."""
