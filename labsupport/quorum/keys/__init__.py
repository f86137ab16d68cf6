"""Keys that no single member holds: made together, used together, handed on. Pure; only `share` touches a disk."""
