# One attack was tried, and it was refused.
through = set()
