"""What each figure shows, as plain values. No drawing library is imported here."""
