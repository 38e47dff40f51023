"""What `reference/officernd.md` does not know, as switches: the first position is the harsher or the likelier one."""

from __future__ import annotations

from tests.simulators.control import Switch

SWITCHES = (
    Switch(
        "properties_on_put",
        ("merge", "replace"),
        "§2.3",
        "the properties of a PUT join the stored ones key by key, or take their place",
    ),
    Switch(
        "nested_on_put",
        ("replace", "merge"),
        "§2.3",
        "the same question for address, billingDetails, portalPrivacy, socialProfiles",
    ),
    Switch(
        "put_same_value_bumps_modified",
        ("no", "yes"),
        "§2.3",
        "a PUT of the values already stored moves modifiedAt (the empty one never does)",
    ),
    Switch(
        "clear_with",
        ("empty_string", "null", "both"),
        "§2.3",
        "what clears an optional string; the other one is refused with 400",
    ),
    Switch(
        "duplicate_email",
        ("allow", "refuse"),
        "§3.2",
        "a member with an address that another has: accepted, or 500 with a sentence",
    ),
    Switch("email_format", ("checked", "any"), "§3.2", "an address without the form of one is 400, or stored"),
    Switch("company_required", ("all", "name"), "§3.1", "POST /companies needs name, location and startDate, or only name"),
    Switch("company_detach", ("refuse", "allow"), "§3.2", "null to /members/{id}/company: 400, or it detaches the member"),
    Switch("status_verb", ("both", "put", "patch"), "§2.3", "the verb of /members/{id}/status; any other is 404"),
    Switch("company_verb", ("both", "put", "patch"), "§2.3", "the verb of /members/{id}/company; any other is 404"),
    Switch(
        "undefined_property_keys",
        ("store", "refuse", "drop"),
        "§3.6",
        "a key in properties that is no custom property of the resource",
    ),
    Switch(
        "property_types",
        ("store", "check"),
        "§3.6",
        "a value that does not fit its custom property's type: stored as it is, or 400",
    ),
    Switch("social_profiles_on_post", ("refuse", "accept"), "§3.2", "POST /members with socialProfiles"),
    Switch("member_details_on_post", ("refuse", "accept"), "§3.2", "POST /members with address, billingDetails, portalPrivacy"),
    Switch("member_image", ("refuse", "accept"), "§3.2", "image in POST and PUT of members"),
    Switch("member_description_on_put", ("refuse", "accept"), "§3.2", "PUT /members/{id} with description"),
    Switch("company_tags_on_post", ("refuse", "accept"), "§3.1", "POST /companies with tags"),
    Switch(
        "company_details_on_post", ("accept", "refuse"), "§3.1", "POST /companies with address, billingDetails, portalPrivacy"
    ),
    Switch(
        "opportunity_company_filled", ("yes", "no"), "§3.3", "POST /opportunities with a member only takes the member's company"
    ),
    Switch(
        "opportunity_probability_on_post",
        ("as_sent", "from_status"),
        "§3.3",
        "a probability that is not its status's: kept, or put right",
    ),
    Switch(
        "retry_after", ("suffixed", "plain", "none"), "§2.8", "a 429 carries Retry-After-read-minute, Retry-After, or neither"
    ),
    Switch("ratelimit_reset", ("seconds_left", "epoch"), "§2.8", "x-ratelimit-reset-*: seconds until, or the time of the reset"),
    Switch("token_retry_after", ("none", "plain"), "§1.1", "a 429 of the token endpoint carries Retry-After"),
    Switch("email_filter_case", ("exact", "ignored"), "§2.6", "?email= and letter case (stored addresses are lower case)"),
    Switch("name_filter_case", ("exact", "ignored"), "§2.6", "?name= and letter case"),
    Switch(
        "in_operator", ("status_only", "references_too"), "§2.6", "[$in] on _id, location, company and member: 400, or it works"
    ),
    Switch("number_property_filter", ("no_match", "match"), "§2.6", "?properties[key]=5 and a stored number 5"),
    Switch(
        "undefined_property_filter", ("nothing", "ignored", "match", "refuse"), "§2.6", "?properties[key]= of no custom property"
    ),
    Switch(
        "repeated_cursor", ("no", "yes"), "§2.4, §7", "a fault: the cursor that was sent comes back as the next one, for ever"
    ),
)
