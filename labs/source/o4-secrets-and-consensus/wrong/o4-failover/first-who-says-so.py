# Whoever says so first.
def leads(answers):
    for each in answers:
        if each.role == "leader" and each.age <= 2.0 and each.reaches * 2 > each.voters:
            return each.name
    return None


lab.deploy(leads, host="failover", name="front")
