"""Generated protocol buffer messages of the Container Runtime Interface, version v1."""
