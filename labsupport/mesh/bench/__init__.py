"""Measurements of the mesh that need its own libraries, so that they run in a Pod of the control plane's image."""
