"""What this process does with memory that is freed, and with interrupts."""
