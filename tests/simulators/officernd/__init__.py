"""A copy of OfficeRnD (Flex), API v2, as strict as `reference/officernd.md`; the table of what is unknown is `switches.py`.

app.py       the routes, and what every request meets first: slug, limits, token, scope
token.py     the token endpoint                  limits.py    reads and writes a minute and a day
lists.py     paging, `$select`, `$sort`          filters.py   the query keys of each list
schemas.py   the fields that a verb accepts      checks.py    how a field is judged, and in which words
writes.py    POST, PUT, DELETE                   store.py     the records, ids, calculated statuses
seed.py      the account at the start            control.py   `/_control/` beyond what both simulators share
answers.py   bodies and headers of answers       switches.py  what the reference does not know
"""
