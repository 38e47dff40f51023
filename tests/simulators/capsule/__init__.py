"""A copy of the Capsule CRM API v2 that keeps the rules of `reference/capsule.md`; made by `app.build`.

switches.py    every unknown of the reference, with its positions, and the limits
errors.py      refusals as the server words them
account.py     what the account holds, in memory            countries.py   its dictionaries
shapes.py      records as the server prints them
values.py      single values out of a request body          merge.py       nested lists, tags and fields of a PUT
parties.py opportunities.py kases.py tasks.py entries.py    what a write does to each kind
commit.py      what a change moves and which events it fires
paging.py filters.py search.py                              lists
oauth.py limits.py                                          who may call, and how often
hooks.py       hooks, deliveries, retries and the drop
post.py        the HTTP client of deliveries
seed.py        invented records
calls.py       one API call: token, limit, answer           routes_*.py    the paths
"""
