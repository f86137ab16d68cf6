# By what the bytes of each connection are: nothing is looked for by a word.
taken = lab.wire("inventory", lambda address: lab.load(f"http://{address}:8080"))
greetings = [each.hello for each in taken.conversations]
visible = {
    "addresses",
    "ports",
    "sizes",
    "path",
    "headers",
    "answer",
    "caller's identity",
    "server's identity",
}
if any(each.protocols for each in greetings):
    visible |= {"offered protocols"}
if not any(each.certificates for each in greetings):
    visible -= {"caller's identity", "server's identity"}
if not taken.plain():
    visible -= {"path", "headers", "answer"}
