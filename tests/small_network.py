"""The data and the network of the tests' small trainings, as part of a TOML configuration."""

NETWORK = """
[data]
source = "digits"
train = 200
validation = 60
test = 40
split_seed = 0

[model]
name = "lenet"
conv1 = 4
conv2 = 6
fc1 = 16
kernel = 3
padding = 1

[train]
batch_size = 16
"""
"""Its last table is ``[train]``, to which more can be added."""
