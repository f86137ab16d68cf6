"""From the model to Envoy's configuration: pure functions, no I/O. The mesh's README.md says which resource is what."""
