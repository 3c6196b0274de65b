"""Questions answered from archive values alone: matched loss, taxonomy, phases, forecasting."""
