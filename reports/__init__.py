"""The pages: a result becomes facts, sections and one HTML file."""
