"""What operators are made of, and the hosts that run a learner's reconcile function in a Pod."""
