# The header was believed.
through = {"another method", "another path", "no name at all", "a forged header"}
