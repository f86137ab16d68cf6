"""What `labs mesh install, upgrade, uninstall, status` do. Everything goes through the Kubernetes API."""
