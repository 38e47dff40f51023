"""Capsule's records in the shape of a unified CRM, and back (reference/unified-crm.md §5). Pure: no I/O, no clock.

`parties`, `deals`, `work`, `entries`, `people` and `definitions` read Capsule's bodies; `writing` turns what a product
sends into bodies for Capsule; `models` is the shape itself, from which the OpenAPI document is made.
"""
