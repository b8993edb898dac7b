"""What a task is, the tasks that are shipped, and their metrics."""
