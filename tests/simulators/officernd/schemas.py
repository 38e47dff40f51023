"""The fields that each verb accepts for each resource, and what it requires (reference/officernd.md §3.1 to §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulators.officernd.checks import ADDRESS, BILLING_DETAILS, PORTAL_PRIVACY, SOCIAL_PROFILES, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

NOBODY = frozenset[str]()
MEMBER_STATUSES = ("active", "former", "pending", "contact", "not_approved", "drop-in", "lead")
COMPANY_STATUSES = ("active", "former", "pending", "inactive", "not_approved", "drop-in", "lead")
MANUAL_STATUSES = ("former", "contact", "auto")

DETAILS = {"address": ADDRESS, "billingDetails": BILLING_DETAILS, "portalPrivacy": PORTAL_PRIVACY}
NESTED = (*DETAILS, "socialProfiles")
"""Fields that are objects with parts; the switch `nested_on_put` speaks of them."""

COMPANY: Mapping[str, Field] = {
    "name": Field("name"),
    "location": Field("id"),
    "startDate": Field("date"),
    "email": Field("email"),
    "url": Field("text"),
    "description": Field("text"),
    "image": Field("text"),
    **DETAILS,
    "hasActiveMembersAllowance": Field("flag"),
    "activeMembersAllowanceLimit": Field("whole", nullable=True),
    "properties": Field("bag"),
}
MEMBER_POST: Mapping[str, Field] = {
    "name": Field("name"),
    "location": Field("id"),
    "startDate": Field("date"),
    "email": Field("email"),
    "phone": Field("text"),
    "company": Field("id"),
    "description": Field("text", nullable=True),
    "properties": Field("bag"),
    "tags": Field("texts"),
    "isContactPerson": Field("flag"),
    "isBillingPerson": Field("flag"),
}
MEMBER_PUT: Mapping[str, Field] = {
    "name": Field("name"),
    "email": Field("email"),
    "phone": Field("text"),
    "startDate": Field("date"),
    "isBillingPerson": Field("flag"),
    "isContactPerson": Field("flag"),
    "tags": Field("texts"),
    "properties": Field("bag"),
    **DETAILS,
    "socialProfiles": SOCIAL_PROFILES,
}
OPPORTUNITY_POST: Mapping[str, Field] = {
    "name": Field("name"),
    "status": Field("id"),
    "member": Field("id", nullable=True),
    "company": Field("id", nullable=True),
    "probability": Field("whole", least=0, most=100),
    "startDate": Field("date", nullable=True),
    "dealSize": Field("number"),
    "membersCount": Field("whole", nullable=True),
    "resources": Field("texts"),
    "requestedPlans": Field("texts"),
    "properties": Field("bag"),
}
OPPORTUNITY_PUT: Mapping[str, Field] = {name: OPPORTUNITY_POST[name] for name in ("properties", "name", "startDate", "status")}


@dataclass(frozen=True, slots=True)
class Schema:
    """What one verb accepts for one resource."""

    fields: Mapping[str, Field]
    required: frozenset[str] = NOBODY


def schema(verb: str, resource: str, switches: Mapping[str, str]) -> Schema:
    """The schema of POST or PUT for members, companies or opportunities, with the switches as they stand."""
    post = verb == "POST"
    if resource == "opportunities":
        return Schema(OPPORTUNITY_POST, frozenset({"name", "status"})) if post else Schema(OPPORTUNITY_PUT)
    required = frozenset({"name", "location", "startDate"}) if post else NOBODY
    if resource == "companies":
        if post and switches["company_required"] == "name":
            required = frozenset({"name"})
        return Schema(_company(switches) if post else COMPANY, required)
    return Schema(_member(switches, post=post), required)


def _company(switches: Mapping[str, str]) -> dict[str, Field]:
    """What POST /companies accepts."""
    fields = dict(COMPANY)
    if switches["company_details_on_post"] == "refuse":
        fields = {name: field for name, field in fields.items() if name not in DETAILS}
    if switches["company_tags_on_post"] == "accept":
        fields["tags"] = Field("texts")
    return fields


def _member(switches: Mapping[str, str], *, post: bool) -> dict[str, Field]:
    """What POST or PUT of members accepts."""
    fields = dict(MEMBER_POST if post else MEMBER_PUT)
    if post and switches["social_profiles_on_post"] == "accept":
        fields["socialProfiles"] = SOCIAL_PROFILES
    if post and switches["member_details_on_post"] == "accept":
        fields |= DETAILS
    if switches["member_image"] == "accept":
        fields["image"] = Field("text")
    if not post and switches["member_description_on_put"] == "accept":
        fields["description"] = Field("text", nullable=True)
    return fields


STATUS_BODY = Schema({"status": Field("enum", values=MANUAL_STATUSES)}, frozenset({"status"}))
"""The body of /members/{id}/status (§2.2)."""


def company_body(switches: Mapping[str, str]) -> Schema:
    """The body of /members/{id}/company (§2.2, §3.2)."""
    return Schema({"company": Field("id", nullable=switches["company_detach"] == "allow")}, frozenset({"company"}))
