"""llm.c's `.bin` model files and their log."""
