"""What runs beside each application: Envoy, and a small helper that makes its key, starts it and answers probes.

The helper counts against each Pod's memory, and there is one in every Pod: the standard library alone, and of that not
the large parts (asyncio, http.client, email: together as much as all the rest).
"""
