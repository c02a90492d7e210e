"""The slow twins: what the product computes, computed again in the most obvious way.

They import nothing of the product, so that where both agree two independent computations agree.
"""
