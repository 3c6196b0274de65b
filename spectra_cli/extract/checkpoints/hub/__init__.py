"""Models and adapters on the Hugging Face hub and in its local cache."""
