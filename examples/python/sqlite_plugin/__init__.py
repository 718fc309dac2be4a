"""A storage plugin of Holdfast that keeps its data in one SQLite database."""
