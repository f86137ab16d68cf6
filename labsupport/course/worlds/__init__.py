"""The labs' places in a cluster: whose an object is, how a start is reached from any state, and how states compare."""
