"""The course's helper package: clusters, the mini mesh, the operator, and the checks of the labs."""

__version__ = "0.1.0"
