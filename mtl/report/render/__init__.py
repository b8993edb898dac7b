"""A document as Markdown, HTML, LaTeX, CSV and figures."""
