# %% [markdown]
# # A world

# %% exercise="w3-one"
### BEGIN SOLUTION
pass
### END SOLUTION
