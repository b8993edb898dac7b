"""Reading data: the course's files, the Hugging Face hub, the built-in sample, and checks of what was read."""
