"""Training of the networks: data from a seed, networks from scratch, quantisation, manifests and model cards.

The rule kept here: what training needs (TensorFlow, matplotlib) is imported only when it trains; the device never has it.
"""
