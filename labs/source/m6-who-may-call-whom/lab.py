# %% [markdown]
# # Who may call whom
#
# Since lab M5 each workload has a name that it can prove. So far nobody asks for it: in the mesh, everybody may call
# everybody. In this lab one object of a few lines changes that for five services at once; you write down who may call
# whom, attack what somebody else wrote down, and see why a policy in the wrong place comes seconds too late.

# %%
from labsupport.course import lab

lab.start("m6")

# %% [markdown]
# ## Everybody asks everybody
#
# Your namespace is the shop of lab M1, in the mesh, each service with an account of its own:
#
# ```
# load ──> web ──> orders ──> inventory
#           └────> news  └──> payments
# ```
#
# `load` stands for the customers. There are two more: `intern`, who is in the mesh and has no business with any of
# these, and `stranger`, who is in no mesh. `lab.ask` makes a request in somebody's Pod:

# %%
lab.ask("orders", "GET http://inventory/stock/tea")

# %% [markdown]
# And `lab.matrix` has everybody ask everybody. An order is taken from anybody; the ledger of payments, where all
# charges stand, is read by anybody:

# %%
EVERYBODY = ["load", "web", "orders", "inventory", "payments", "news", "intern", "stranger"]
QUESTIONS = {
    "web": "GET http://web/buy/tea",
    "orders": "POST http://orders/orders",
    "inventory": "GET http://inventory/stock/tea",
    "payments": "GET http://payments/ledger",
    "news": "GET http://news/today",
}
lab.matrix(EVERYBODY, QUESTIONS)

# %% [markdown]
# ## `m6-holes`: what a list of forbidden things lets through
#
# The ledger is nobody's business but that of orders, which reads it at night. The mesh has a kind of object for such
# wishes:

# %%
# !labs kubectl explain authorizationpolicy.spec

# %% [markdown]
# Somebody wrote this one. It forbids, and leaves everything else as it was:

# %%
print(lab.read("start/ledger.yaml"))
lab.apply(lab.read("start/ledger.yaml"))

# %% [markdown]
# It does what it says: the intern is kept off the ledger, and orders is not.

# %%
lab.ask("intern", "GET http://payments/ledger")

# %% [markdown]
# Ten attacks on payments. All but the last are made by the intern, and the last by the stranger, who is in no mesh:
#
# | | Request |
# |---|---|
# | `"as it is"` | `GET http://payments/ledger` |
# | `"a double slash"` | `GET http://payments//ledger` |
# | `"a dot segment"` | `GET http://payments/stock/../ledger` |
# | `"a parameter in the path"` | `GET http://payments/ledger;v=1` |
# | `"a forged header"` | `GET http://payments/ledger`, `x-forwarded-client-cert` says that it is from orders |
# | `"a stolen token"` | `GET http://payments/ledger`, with somebody's token in `authorization` |
# | `"another host name"` | `GET http://payments/ledger`, with `host: orders` |
# | `"another method"` | `DELETE http://payments/ledger` |
# | `"another path"` | `GET http://payments/counters` |
# | `"no name at all"` | `GET http://payments/ledger`, by the stranger, in plaintext |
#
# **Which of them does the application of payments get to see?** (Whatever it answers then.) Say first what you think,
# then try: `lab.ask("intern", "GET http://...", header="name: value")`.

# %%
LIE = f"x-forwarded-client-cert: URI=spiffe://labs.example/ns/{lab.namespace}/sa/orders"
lab.ask("intern", "GET http://payments/ledger", header=LIE)

# %% exercise="m6-holes"
### BEGIN SOLUTION: through = ...
through = {"another method", "another path", "no name at all"}
### END SOLUTION

# %%
lab.check("m6-holes")

# %% [markdown]
# ## `m6-platform`: what does one policy do to five services?
#
# So a longer list? There are two ways of making lists. This policy allows, and names nobody:

# %%
print(lab.read("start/nobody.yaml"))

# %% [markdown]
# The shop has customers at this moment, over connections that are open. **What becomes of the calls that the shop
# lives from, once this is applied?** Commit one of these: `"all of them are refused, at once"`, `"those within the
# namespace go on"`, `"those over open connections go on"`, `"nothing changes until the Pods are restarted"`.

# %% exercise="m6-platform"
### BEGIN SOLUTION: guess = None  # one of the four texts
guess = "all of them are refused, at once"
### END SOLUTION
lab.predict("m6-platform", guess)

# %%
lab.check("m6-platform")

# %%
lab.apply(lab.read("start/nobody.yaml"))
lab.matrix(EVERYBODY, QUESTIONS)

# %% [markdown]
# The answer comes from the proxy of the called Pod; the application has seen nothing. And the Pods are all still
# ready: kubelet's probes go past the policy, by way of the helper (lab M3), or one line of YAML would have ended every
# Pod of the namespace.

# %%
# !labs kubectl -n {lab.namespace} get pods

# %% [markdown]
# ## `m6-allow`: what the shop lives from
#
# Six calls are needed, and no others:
#
# | Who | asks whom | for what |
# |---|---|---|
# | load | web | `GET /buy/` and the name of something |
# | web | orders | `POST /orders` |
# | web | news | `GET /today` |
# | orders | inventory | `GET /stock/` and the name of something |
# | orders | payments | `POST /charges`, and at night `GET /ledger` |
#
# **Let these through, and nothing else.** A policy has a `selector` (whose door), an `action` and `rules`; a rule has
# `from` (who, `identities` as `NAMESPACE/ACCOUNT`) and `to` (`methods`, `paths`). Whether a call would be let through,
# and by which policy, says this without making it:

# %%
# !labs mesh authz --from {lab.namespace}/orders --to {lab.namespace}/inventory --method GET --path /stock/tea

# %% exercise="m6-allow"
### BEGIN SOLUTION: # YOUR YAML HERE, by lab.apply("""...""")
NEEDED = {
    "web": ("load", {"GET": "/buy/*"}),
    "orders": ("web", {"POST": "/orders"}),
    "news": ("web", {"GET": "/today"}),
    "inventory": ("orders", {"GET": "/stock/*"}),
    "payments": ("orders", {"POST": "/charges", "GET": "/ledger"}),
}
for door, (caller, asks) in NEEDED.items():
    to = [f"        - {{methods: [{method}], paths: [{path}]}}" for method, path in asks.items()]
    lab.apply(
        f"""
apiVersion: mesh.labs.example/v1alpha1
kind: AuthorizationPolicy
metadata:
  name: {door}
spec:
  selector:
    matchLabels: {{app: {door}}}
  rules:
    - from:
        - identities: ["{lab.namespace}/{caller}"]
      to:
"""
        + "\n".join(to)
    )
### END SOLUTION

# %%
lab.check("m6-allow")

# %%
lab.matrix(EVERYBODY, QUESTIONS)

# %% [markdown]
# What is left of the matrix is the picture from above, and nothing else. The attacks, once more? None of them is on
# your list. When a call is refused and should not be, ask the mesh which policy decides it:

# %%
# !labs mesh authz --from {lab.namespace}/intern --to {lab.namespace}/payments --method GET --path /ledger
# !labs kubectl -n {lab.namespace} get authorizationpolicies

# %% [markdown]
# ## `m6-audit`: and when nobody knows who calls?
#
# Those six calls were known. Mostly they are not: there is what people say, and there is what happens. Your namespace
# gets one more service, the bank, and those who have called it for years; their Pods count how often they are answered.
# In the same file `nobody` has a `mode`: what no policy allows is let through for the time being, and **told**.

# %%
lab.apply(lab.read("start/bank.yaml"))

# %% [markdown]
# This is what the bank's people say, and how they would have it:

# %%
print(lab.read("start/draft.yaml"))

# %% [markdown]
# **Close the bank's door to all who do not need it, and refuse nobody on the way who does.** Who comes with an account
# of its own has a reason; the intern still has none. In the end nothing is let through any more that nobody allows: at
# the bank, and at services that nobody has thought of.
#
# So not the draft as it is, but with the mode `Audit` first: then it decides nothing, and telemetry tells of each
# request whether it would have been refused.

# %%
### BEGIN SOLUTION: # YOUR YAML HERE: the draft, by lab.apply("""..."""), in a mode that refuses nobody
lab.apply(lab.read("start/draft.yaml").replace("mode: Enforce", "mode: Audit"))
### END SOLUTION

# %% [markdown]
# Then look who comes. The proxies tell of each request (here of twenty), and the topology counts them; run both again
# after each change.

# %%
# !labs mesh tap --to {lab.namespace}/bank --limit 20

# %%
lab.topology(find=f"{lab.namespace}/bank", seconds=10)

# %% [markdown]
# Once nothing is told any more that you would miss, it is time to be serious about it:

# %% exercise="m6-audit"
### BEGIN SOLUTION: # YOUR YAML HERE, by lab.apply("""...""")
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: AuthorizationPolicy
metadata:
  name: bank
spec:
  selector:
    matchLabels: {app: bank}
  rules:
    - from:
        - identities: ["{namespace}/till"]
      to:
        - {methods: [POST], paths: [/charges]}
    - from:
        - identities: ["{namespace}/books"]
      to:
        - {methods: [GET], paths: [/ledger]}
---
apiVersion: mesh.labs.example/v1alpha1
kind: AuthorizationPolicy
metadata:
  name: nobody
spec:
  action: Allow
""")
### END SOLUTION

# %%
lab.check("m6-audit")

# %% [markdown]
# ## How late may a policy be?
#
# You have changed policies a dozen times by now, and each time the next request met the new one. Somebody had to see
# to that. In Envoy's configuration there are several places for a policy. Here is an Envoy without a mesh that has
# the same policy in two of them: at port 9001 it is a part of the listener, at port 9002 the listener says "filter
# `policy`, see there" (ECDS). Both come from files.

# %%
lab.apply(lab.read("start/carriers.yaml"))

# %% [markdown]
# ## `m6-stale`: how late is it?
#
# Two connections are open and carry 200 requests a second. At one moment the policy changes: nobody is allowed any
# more. **At the port where the policy is a part of the listener, how long are requests still let through?** Commit
# one of these: `"some milliseconds"`, `"some seconds"`, `"until the client closes them"`.

# %% exercise="m6-stale"
### BEGIN SOLUTION: guess = None  # one of the three texts
guess = "some seconds"
### END SOLUTION
lab.predict("m6-stale", guess)

# %%
lab.check("m6-stale")

# %% [markdown]
# The same with both, one after the other. It takes about 25 seconds.

# %%
from labsupport.course.lessons import carriers

found = [carriers.measure(lab.api, lab.namespace, name) for name in carriers.CARRIERS]
carriers.table(found)

# %% [markdown]
# Nothing was wrong at the first port: Envoy had the new policy after milliseconds, and a new connection would have met
# it at once. Who tests with a new connection, or looks for the *first* refusal, sees nothing. The last answer that
# should not have been given is the one to look for.
#
# ## What you can now explain
#
# - A policy that allows, for the Pods that it selects, turns the question round: what nobody allows is refused.
# - It is decided by the called Pod's proxy, for each request, by the caller's certificate; what a request says of its
#   sender does not count.
# - Say what is allowed, not what is forbidden; Deny takes something out of what others allow.
# - Before a policy refuses, it can tell what it would refuse (`mode: Audit`); who is missing in a list is found in what
#   happens, not in what people say.
# - A proxy must compare the very path that it hands on.
# - Where a policy stands in a proxy's configuration decides whether open connections notice it.
