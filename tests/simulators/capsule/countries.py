"""Dictionaries of the account: countries, currencies, titles (reference/capsule.md §4.6, §5.2).

The real country list has 250 rows; this one has fewer, which is stricter and never kinder.
"""

from __future__ import annotations

_ROWS = """
AR ARG 32 Argentina|AU AUS 36 Australia|AT AUT 40 Austria|BE BEL 56 Belgium|BR BRA 76 Brazil|BG BGR 100 Bulgaria
CA CAN 124 Canada|CL CHL 152 Chile|CN CHN 156 China|CO COL 170 Colombia|HR HRV 191 Croatia|CY CYP 196 Cyprus
CZ CZE 203 Czechia|DK DNK 208 Denmark|EG EGY 818 Egypt|EE EST 233 Estonia|FI FIN 246 Finland|FR FRA 250 France
DE DEU 276 Germany|GR GRC 300 Greece|HK HKG 344 Hong Kong|HU HUN 348 Hungary|IS ISL 352 Iceland|IN IND 356 India
ID IDN 360 Indonesia|IE IRL 372 Ireland|IL ISR 376 Israel|IT ITA 380 Italy|JP JPN 392 Japan|KE KEN 404 Kenya
LV LVA 428 Latvia|LT LTU 440 Lithuania|LU LUX 442 Luxembourg|MY MYS 458 Malaysia|MT MLT 470 Malta|MX MEX 484 Mexico
MA MAR 504 Morocco|NL NLD 528 Netherlands|NZ NZL 554 New Zealand|NG NGA 566 Nigeria|NO NOR 578 Norway
PK PAK 586 Pakistan|PE PER 604 Peru|PH PHL 608 Philippines|PL POL 616 Poland|PT PRT 620 Portugal|RO ROU 642 Romania
RS SRB 688 Serbia|SA SAU 682 Saudi Arabia|SG SGP 702 Singapore|SK SVK 703 Slovakia|SI SVN 705 Slovenia
ZA ZAF 710 South Africa|KR KOR 410 South Korea|ES ESP 724 Spain|SE SWE 752 Sweden|CH CHE 756 Switzerland
TW TWN 158 Taiwan|TH THA 764 Thailand|TR TUR 792 Turkey|UA UKR 804 Ukraine|AE ARE 784 United Arab Emirates
GB GBR 826 United Kingdom|US USA 840 United States|VN VNM 704 Vietnam
"""

COUNTRIES = [
    {"alpha2Code": alpha2, "alpha3Code": alpha3, "numericCode": int(number), "name": name}
    for row in _ROWS.replace("\n", "|").split("|")
    if row
    for alpha2, alpha3, number, name in [row.split(" ", 3)]
]
COUNTRY_NAMES = frozenset(str(country["name"]) for country in COUNTRIES)
COUNTRY_ALIASES = {"USA": "United States"}  # the one alias seen live (§5.2)
ALPHA2_NAMES = {str(country["alpha2Code"]): str(country["name"]) for country in COUNTRIES}

CURRENCIES = [
    {"code": "AUD", "symbol": "$", "name": "AU Dollar", "pluralName": "AU Dollars"},
    {"code": "CAD", "symbol": "$", "name": "CA Dollar", "pluralName": "CA Dollars"},
    {"code": "CHF", "symbol": "CHF"},
    {"code": "EUR", "symbol": "€", "name": "Euro", "pluralName": "Euros"},
    {"code": "GBP", "symbol": "£", "name": "Pound", "pluralName": "Pounds"},
    {"code": "JPY", "symbol": "¥", "name": "Yen", "pluralName": "Yen"},
    {"code": "USD", "symbol": "$", "name": "US Dollar", "pluralName": "US Dollars"},
]
CURRENCY_CODES = frozenset(currency["code"] for currency in CURRENCIES)

TITLES = frozenset({"Mr", "Mrs", "Miss", "Ms", "Mx", "Dr", "Prof"})
