# What is old is thrown away before anything else.
FRESH = 2.0  # seconds


def leads(answers):
    answers = [each for each in answers if each.age <= FRESH]
    elected = [each.term for each in answers if each.leader]
    for each in answers:
        newest = each.role == "leader" and each.term == max(elected)
        if newest and each.age <= FRESH and each.reaches * 2 > each.voters:
            return each.name
    return None


lab.deploy(leads, host="failover", name="front")
