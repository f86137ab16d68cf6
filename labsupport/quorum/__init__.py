"""The quorum store: a few members that agree on what is written and sign together. See README.md."""
