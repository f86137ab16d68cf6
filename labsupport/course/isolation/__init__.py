"""Learners' functions in processes of their own, so that no loop or exit of theirs ends the kernel."""
