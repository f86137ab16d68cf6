# Asks the bytes themselves.
taken = lab.wire(
    "inventory", lambda address: lab.load(f"http://{address}:8080/stock/tea", requests=4, keep=False)
)
sought = {
    "path": "/stock/tea",
    "headers": "HTTP/1.1",
    "answer": '"left"',
    "caller's identity": "spiffe://",
    "server's identity": "spiffe://",
    "offered protocols": "labs.mesh",
}
visible = {thing for thing, word in sought.items() if taken.contains(word)}
visible |= {"addresses", "ports"} if taken.conversations else set()
visible |= {"sizes"} if taken.size else set()
