"""From words and files to a validated run configuration, and its identity."""
