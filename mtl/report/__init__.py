"""From records to Markdown, HTML, LaTeX and CSV. No torch; nothing here trains."""
