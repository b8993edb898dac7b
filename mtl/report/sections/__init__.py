"""Sections of reports, a file each; `mtl.report.contents` puts them in order."""
