# Makes all ten, and looks who answered.
from labsupport.course.lessons import callers

lie = f"x-forwarded-client-cert: URI=spiffe://labs.example/ns/{lab.namespace}/sa/orders"
attacks = {
    "as it is": ("intern", "GET http://payments/ledger"),
    "a double slash": ("intern", "GET http://payments//ledger"),
    "a dot segment": ("intern", "GET http://payments/stock/../ledger"),
    "a parameter in the path": ("intern", "GET http://payments/ledger;v=1"),
    "a forged header": ("intern", "GET http://payments/ledger", lie),
    "a stolen token": ("intern", "GET http://payments/ledger", "authorization: Bearer a.stolen.token"),
    "another host name": ("intern", "GET http://payments/ledger", "host: orders"),
    "another method": ("intern", "DELETE http://payments/ledger"),
    "another path": ("intern", "GET http://payments/counters"),
    "no name at all": ("stranger", "GET http://payments/ledger"),
}
answers = callers.make(lab.api, lab.namespace, [callers.call(*words) for words in attacks.values()])
through = {name for name, answer in zip(attacks, answers, strict=True) if answer.through}
