# Whoever is accused.
cheats = {1: "wrong share", 4: "wrong share"}
