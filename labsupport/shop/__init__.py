"""The sample application: small HTTP services that the labs deploy, watch and break. No dependencies."""
