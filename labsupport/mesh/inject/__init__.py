"""How a Pod gets its proxy: an admission webhook answers the API server with a patch (README.md of the mesh)."""
