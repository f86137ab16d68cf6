# Looks at all deals, and says nothing.
def receive(me, threshold, dealt):
    sorted(dealt)
