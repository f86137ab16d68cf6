"""Consensus: Raft without I/O (`core`), and what it keeps on disk (`storage`)."""
