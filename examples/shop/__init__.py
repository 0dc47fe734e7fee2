"""A shop: customers, products with versions, orders. One service, offered by FastAPI and by Litestar.

``python -m shop`` (from ``examples/``) lets two workers order the same products at the same time.
"""
