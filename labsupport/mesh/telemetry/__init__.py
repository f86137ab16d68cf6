"""What proxies report, counted by who calls whom: for `labs mesh`, the topology page, and Prometheus."""
