# Whoever is in the mesh, and nobody else.
through = {"another method", "another path"}
