"""The unified API and the proxy: the door for products that build on their customers' Capsule accounts.

Facts: reference/unified-crm.md.

`app` holds the routes, `document` describes them, `queries` and `filters` read what is asked, `sources` and `reading` ask
Capsule, `writes` changes it, `keeping` remembers answers by Idempotency-Key.
"""
