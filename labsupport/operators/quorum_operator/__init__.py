"""The operator of Quorums: what is seen of one goes into a pure plan, what that says is done, one step at a time."""
