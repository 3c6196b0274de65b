"""Values that every room speaks in: types and errors. numpy only."""
