"""Who is who in the mesh: the authority, what it certifies to whom, and how all come to trust it."""
