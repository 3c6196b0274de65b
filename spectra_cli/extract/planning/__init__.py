"""What a scan will take, before it starts: passes, memory, operations, time."""
