"""Who calls whom in the mesh: the control plane's data (GET /topology) drawn, as a table, a page, words. Pure."""
