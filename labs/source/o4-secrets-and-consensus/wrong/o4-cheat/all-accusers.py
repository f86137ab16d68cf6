# Whoever complains makes trouble.
cheats = {2: "false complaint", 3: "false complaint", 5: "false complaint"}
