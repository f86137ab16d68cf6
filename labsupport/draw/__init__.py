"""Pictures: pure functions from data to SVG, HTML and text. Each picture says the same in words."""
