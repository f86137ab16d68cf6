# %% [markdown]
# # Start here
#
# This is a notebook, and behind it is a Kubernetes cluster that is yours alone. You can break it: one command brings
# it back, and nothing outside it can be harmed. In the next ten minutes you will see what the cluster is made of, watch
# one object become a running program, and solve a first exercise, so that you know how checks, hints and resets behave
# before they matter.
#
# Run a cell with **Shift+Enter**. The first one opens the lab; run it again whenever you want to start over.

# %%
from labsupport.course import lab

lab.start("00")

# %% [markdown]
# ## Is everything well?
#
# Two commands answer that, here or in a terminal. `labs doctor` looks at this machine and knows a remedy for each thing
# it finds; `labs status` looks at the cluster. When something behaves strangely later, begin with these two.

# %%
# !labs doctor

# %%
# !labs status

# %% [markdown]
# ## What is a cluster, really?
#
# A handful of programs. Not images, not machines: programs, started one after another, each with one job.
# `etcd` remembers. The `kube-apiserver` is the only one that talks to it, and everybody else talks to the API server.
# The `kube-controller-manager` and the `kube-scheduler` compare what is wanted with what is there and write down what
# should happen next. The `kubelet` is the one that finally starts processes, and `kube-proxy` makes Services work.
# Here they are, on this machine, now, with the memory they really use:

# %%
lab.components()

# %% [markdown]
# Notice what is missing: no program *sends commands* to another. There is no "start a Pod" call from the scheduler to
# the kubelet. They all read from, and write to, one place. That is the idea on which everything in this course stands:
# a service mesh and an operator are, in the end, more programs that do the same.
#
# ## One `apply`, followed
#
# Below is a Deployment that asks for one Pod. You have written dozens of these. Before you run the next but one cell,
# guess: **how many times will somebody write to the API server before that Pod is ready, and how many different
# programs will write?** Say a number; being wrong is what makes the picture worth looking at.

# %%
print(lab.read("start/web.yaml"))

# %% [markdown]
# `lab.follow` opens watches on Deployments, ReplicaSets, Pods and Events first, then applies the manifest, and notes
# each change when it arrives. (The timestamps inside the objects would not do. They count whole seconds, and all of
# this happens in about one.)

# %%
lab.follow(lab.read("start/web.yaml"))

# %% [markdown]
# Read it from left to right. You wrote *one* object. The deployment controller saw it and wrote a ReplicaSet; another
# controller saw that and wrote a Pod without a node; the scheduler saw a Pod without a node and wrote a node's name
# into it; the kubelet of that node saw a Pod with its own name and started a process. Each looked at a state and wrote
# a state. Nobody was told anything. And the last marks go back up: the kubelet's "Ready" becomes the ReplicaSet's
# count, which becomes the Deployment's.
#
# (Is there an event `Unhealthy` in your picture? It is no fault. The first probe knocked before the server had opened
# its port; that is what readiness probes are for.)
#
# Did you guess as many? If one of those programs had been stopped, the story would have paused at its lane and gone on
# when it came back. In lab O2 you will write such a lane yourself.
#
# ## Your turn: `00-expose`
#
# The web Pod answers on its own address, which nobody knows and which dies with it. **Make it reachable in your
# namespace under the name `web` on port 80**, so that every call ends at a Pod of the Deployment `web`.
#
# Two things to know. The container listens on another port; the manifest above says which. And the web Pods are not
# alone in this namespace: there is a `ledger` of the same team, which serves nobody.

# %%
# !labs kubectl -n {lab.namespace} get pods --show-labels

# %% [markdown]
# Write the object that is needed between the quotes and run the cell. You can do it as often as you like: `apply` means
# "make it so", not "add another". If you prefer a terminal, `labs kubectl apply -f FILE` with `-n` and your
# namespace is just as good;
# checks look at the cluster, never at what you typed.

# %% exercise="00-expose"
lab.apply("""
### BEGIN SOLUTION: # YOUR YAML HERE
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector:
    app: web
  ports:
    - port: 80
      targetPort: 8080
### END SOLUTION
""")

# %% [markdown]
# ## Check it
#
# A check gives one of three answers. **Pass**. **Not yet**, with what was expected, what was seen, and the object,
# field or request that decided it. **Could not check**, when the cluster did not answer, which is not your fault. It
# changes nothing of yours, so check early and often, even now, before you have written anything: reading a "not
# yet" is half of what this course trains.
#
# **Hint** gives one of three hints at a time: where to look, which idea, almost there. None of them contains the
# answer. After a pass (or three honest failures) `lab.solution("00-expose")` shows one solution and why it works.

# %%
lab.check("00-expose")

# %% [markdown] tags=["solution"]
# A second solution, in `labs/source/00-start-here/solutions/00-expose/`, names the Pod's port instead of its number.
# Both pass, since the check asks the Service for an answer and does not compare text.

# %% [markdown]
# ## Where you stand
#
# Progress is kept on this machine only, in a file of yours. An exercise that you passed and then broke counts as open
# again: the truth is in the cluster.

# %%
lab.progress()

# %% [markdown]
# ## What you can now explain
#
# - A cluster is a few programs around one store, which never call each other.
# - One `apply` becomes a running process because several control loops each see a state and write the next one.
# - A Service is a question about labels and a rule about ports; EndpointSlices are where its answer can be read.
# - `lab.start` resets a lab, `lab.check` looks at the cluster, `lab.hint` helps by small steps, and `labs doctor` and
#   `labs status` come first when something is odd.
#
# To end for today, save, and press Ctrl-C in the terminal that opened this page. `labs down` ends the cluster.
# Your notebook stays.
