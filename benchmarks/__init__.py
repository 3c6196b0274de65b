"""What the speed and memory claims of the documentation are measured with; `make bench` runs it."""
