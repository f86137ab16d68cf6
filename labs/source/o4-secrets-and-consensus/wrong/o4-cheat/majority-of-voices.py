# Two complaints against one are believed, one alone is not looked at.
cheats = {4: "wrong share"}
