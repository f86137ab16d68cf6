"""That the exercises hold what they promise, on a real cluster; for authors and CI."""
