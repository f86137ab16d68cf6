# Never names anybody.
def leads(answers):
    sorted(answers, key=lambda each: each.term)


lab.deploy(leads, host="failover", name="front")
