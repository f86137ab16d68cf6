# The right two, the other way round.
cheats = {2: "wrong share", 4: "false complaint"}
