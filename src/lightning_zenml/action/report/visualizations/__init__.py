"""Visualizations of artifacts, as ZenML's materializers save them: Markdown, tables, JSON, pictures, HTML."""
