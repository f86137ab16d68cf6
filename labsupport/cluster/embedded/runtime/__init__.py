"""A CRI runtime whose containers are processes on the course root: README.md says how it works."""
