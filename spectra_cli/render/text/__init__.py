"""Text of others made harmless, and made to fit."""
