# %% [markdown]
# # ${title}
#
# Say in a few sentences what the learner will see in this lab and why it is worth an evening. Then open the lab.

# %%
from labsupport.course import lab

lab.start("${id}")

# %% [markdown]
# ## See it work
#
# Show the idea working before anybody has to do anything: an object of the cluster, a picture drawn from it, a number
# measured here and now. In this outline it is a ConfigMap.

# %%
print(lab.read("start/greeting.yaml"))

# %%
# !labs kubectl -n {lab.namespace} get configmap greeting -o yaml

# %% [markdown]
# ## Your turn: `${id}-reply`
#
# Say what is to be true of the cluster at the end, never how. In this outline: **make a ConfigMap `reply` whose key
# `to` holds the name of the ConfigMap that it replies to.**

# %% exercise="${id}-reply"
lab.apply("""
### BEGIN SOLUTION: # YOUR YAML HERE
apiVersion: v1
kind: ConfigMap
metadata:
  name: reply
data:
  to: greeting
### END SOLUTION
""")

# %%
lab.check("${id}-reply")

# %% [markdown]
# ## Your turn: `${id}-unwanted`
#
# An exercise in Python is a function of plain values, so that it can be tried on inputs which nobody has seen. In this
# outline: **return the names that are in `found` and not in `wanted`, in alphabetical order.** For `["b", "a"]` and
# `["b"]` that is `["a"]`.


# %% exercise="${id}-unwanted"
def unwanted(found: list[str], wanted: list[str]) -> list[str]:
    """The names in `found` that are not in `wanted`, in alphabetical order."""
    ### BEGIN SOLUTION: return ...  # YOUR CODE HERE
    return sorted(name for name in found if name not in wanted)
    ### END SOLUTION


# %%
lab.check("${id}-unwanted")

# %% [markdown]
# ## Where you stand

# %%
lab.progress()

# %% [markdown]
# ## What you can now explain
#
# - One line for each idea that the learner can now explain to somebody else.
