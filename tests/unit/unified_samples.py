"""Capsule's bodies with every attribute filled, for the tests of the unified mapping (reference/capsule.md §4)."""

from __future__ import annotations

from typing import Any

OWNER: dict[str, Any] = {
    "id": 61,
    "deleted": False,
    "username": "ted",
    "pictureURL": "https://pics.example/ted",
    "name": "Ted Danson",
}
TEAM: dict[str, Any] = {"id": 3, "name": "The North"}
ORGANISATION_REF: dict[str, Any] = {"id": 892, "type": "organisation", "name": "Zestia", "pictureURL": "https://pics.example/z"}
PERSON_REF: dict[str, Any] = {
    "id": 11587,
    "type": "person",
    "firstName": "Scott",
    "lastName": "Spacey",
    "pictureURL": "https://pics.example/s",
}
TAG: dict[str, Any] = {"id": 1199, "name": "Customer", "dataTag": True}

DEFINITIONS: list[dict[str, Any]] = [
    {"id": 926886, "name": "Interests", "type": "text", "captureRule": None, "tag": None},
    {
        "id": 47,
        "type": "list",
        "displayOrder": 3,
        "name": "Industry Sector",
        "captureRule": "organisation",
        "options": ["Technology", "Insurance"],
        "description": "What it does",
        "important": False,
        "tag": {"id": 1499, "name": "Lead", "dataTag": True},
    },
    {"id": 48, "name": "Seats", "type": "number", "captureRule": "organisation", "tag": None},
    {"id": 49, "name": "Signed", "type": "boolean", "tag": None},
    {"id": 50, "name": "Renewal", "type": "date", "tag": {"id": 1500, "name": "Member", "dataTag": True}},
    {"id": 51, "name": "Renewal", "type": "date", "tag": {"id": 1501, "name": "Supplier", "dataTag": True}},
    {"id": 52, "name": "Contract", "type": "link", "tag": None},
]

FIELDS: list[dict[str, Any]] = [
    {"id": 9785121, "definition": {"id": 926886, "name": "Interests"}, "value": "Skiing", "tagId": 168298},
    {"id": 9785122, "definition": {"id": 48, "name": "Seats"}, "value": "12", "tagId": None},
    {"id": 9785123, "definition": {"id": 50, "name": "Renewal"}, "value": "2026-12-01", "tagId": 1500},
    {"id": 9785124, "definition": {"id": 51, "name": "Renewal"}, "value": "2027-01-01", "tagId": 1501},
    {"id": 9785125, "definition": {"id": 47, "name": "Industry Sector"}, "value": "Technology", "tagId": 1499},
]

SHARED: dict[str, Any] = {
    "owner": OWNER,
    "team": TEAM,
    "about": "A note about it",
    "createdAt": "2015-09-15T10:43:23Z",
    "updatedAt": "2015-09-16T09:12:04Z",
    "lastContactedAt": "2015-09-17T10:00:00Z",
    "pictureURL": "https://pics.example/one",
    "enrichment": None,
    "addresses": [
        {
            "id": 12135,
            "type": "Office",
            "street": "847 North Rush Street\nSecond floor",
            "city": "Chicago",
            "state": "IL",
            "zip": "65629",
            "country": "United States",
        }
    ],
    "phoneNumbers": [
        {"id": 12133, "type": "Direct", "number": "773-338-7786"},
        {"id": 12136, "type": None, "number": "+44 20 1"},
    ],
    "emailAddresses": [
        {"id": 12134, "type": "Work", "address": "scott@homestyleshop.co"},
        {"id": 12137, "type": "Home", "address": "scott@home.example"},
    ],
    "websites": [
        {"id": 106, "type": "Home", "service": "TWITTER", "address": "capsulecrm", "url": "https://twitter.com/capsulecrm"},
        {"id": 107, "type": None, "service": "URL", "address": "www.zestia.com", "url": "https://www.zestia.com"},
    ],
    "tags": [TAG, {"id": 1200, "name": "VIP", "dataTag": False}],
    "fields": FIELDS,
    "missingImportantFields": False,
}

ORGANISATION: dict[str, Any] = {"id": 892, "type": "organisation", "name": "Zestia", **SHARED}
PERSON: dict[str, Any] = {
    "id": 11587,
    "type": "person",
    "firstName": "Scott",
    "lastName": "Spacey",
    "title": "Mr",
    "jobTitle": "Managing Director",
    "organisation": ORGANISATION_REF,
    **SHARED,
}
MILESTONE: dict[str, Any] = {
    "id": 14,
    "name": "Bid",
    "description": "An offer was made",
    "complete": False,
    "probability": 50,
    "daysUntilStale": 12,
    "pipeline": {"name": "SMB clients", "id": 10},
    "createdAt": "2015-01-01T00:00:00Z",
    "updatedAt": "2015-01-02T00:00:00Z",
}
OPPORTUNITY: dict[str, Any] = {
    "id": 12,
    "name": "Consulting",
    "description": "Scope and design web site shopping cart",
    "owner": OWNER,
    "team": TEAM,
    "party": {**PERSON_REF, "organisation": ORGANISATION_REF},
    "lostReason": {"id": 99, "name": "Abandoned"},
    "milestone": {"id": 14, "name": "Bid"},
    "value": {"amount": 500, "currency": "GBP"},
    "expectedCloseOn": "2015-10-31",
    "probability": 50,
    "durationBasis": "MONTH",
    "duration": 6,
    "closedOn": None,
    "createdAt": "2015-10-29T12:55:12Z",
    "updatedAt": "2015-10-29T12:55:13Z",
    "lastContactedAt": "2015-10-30T08:00:00Z",
    "lastStageChangedAt": "2015-10-29T13:00:00Z",
    "lastOpenMilestone": {"id": 14, "name": "Bid"},
    "tags": [TAG],
    "fields": FIELDS[:1],
    "missingImportantFields": True,
}
KASE: dict[str, Any] = {
    "id": 5588202,
    "owner": OWNER,
    "team": TEAM,
    "party": PERSON_REF,
    "status": "OPEN",
    "opportunity": {"id": 83948362, "name": "Shopping cart"},
    "stage": {"name": "Planning", "id": 271006},
    "createdAt": "2025-10-14T00:11:23Z",
    "updatedAt": "2025-10-14T00:26:22Z",
    "description": "Designing shopping cart website",
    "name": "Research",
    "closedOn": None,
    "lastContactedAt": "2025-10-15T00:00:00Z",
    "expectedCloseOn": "2015-12-09",
    "startOn": "2025-10-20",
    "tags": [TAG],
    "fields": FIELDS[:1],
    "missingImportantFields": None,
}
STAGE: dict[str, Any] = {
    "name": "Planning",
    "description": "Before work begins",
    "id": 271006,
    "board": {"id": 34, "name": "Projects"},
    "displayOrder": 1,
    "createdAt": "2015-01-01T00:00:00Z",
    "updatedAt": "2015-01-02T00:00:00Z",
}
TASK: dict[str, Any] = {
    "id": 147248893,
    "category": {"id": 1, "name": "Call", "colour": "#d16c1a"},
    "description": "Ring back",
    "detail": "About the offer",
    "dueTime": "09:30",
    "status": "OPEN",
    "party": PERSON_REF,
    "opportunity": None,
    "kase": None,
    "owner": OWNER,
    "createdAt": "2025-04-24T21:00:49Z",
    "updatedAt": "2025-04-24T21:00:50Z",
    "dueOn": "2025-07-20",
    "completedBy": "ted",
    "completedAt": "2025-07-19T10:00:00Z",
    "repeat": {"interval": 1, "frequency": "WEEKLY", "on": -1},
    "hasTrack": False,
}
NOTE: dict[str, Any] = {
    "id": 11,
    "type": "note",
    "attachments": [{"id": 4, "filename": "works.pdf", "contentType": "application/pdf", "size": 5557452}],
    "creator": OWNER,
    "activityType": {"id": -1, "name": "Note"},
    "createdAt": "2015-12-07T16:54:27Z",
    "updatedAt": "2015-12-07T16:54:28Z",
    "content": "They liked it",
    "subject": None,
    "entryAt": "2015-12-06T16:54:27Z",
    "party": ORGANISATION_REF,
    "opportunity": None,
    "kase": None,
}
EMAIL: dict[str, Any] = {
    "id": 12,
    "type": "email",
    "creator": OWNER,
    "activityType": None,
    "createdAt": "2015-12-07T16:54:27Z",
    "updatedAt": "2015-12-07T16:54:28Z",
    "content": "Dear Scott",
    "subject": "The offer",
    "entryAt": "2015-12-07T16:54:27Z",
    "party": PERSON_REF,
    "parties": [PERSON_REF, {"id": 11588, "type": "person", "firstName": "Ann", "lastName": ""}],
    "participants": [{"id": 1, "address": "scott@homestyleshop.co", "name": "Scott", "role": "TO"}],
    "opportunity": {"id": 12, "name": "Consulting"},
    "kase": {"id": 5588202, "name": "Research"},
}
ACTIVITY: dict[str, Any] = {
    "id": -3,
    "name": "Telephone",
    "icon": {"order": 29, "id": "CALL", "displayName": "Call", "iconName": "call", "isSystem": True},
    "updateLastContacted": True,
}
USER: dict[str, Any] = {
    "id": 1,
    "locale": "en_GB",
    "currency": "EUR",
    "status": "ACTIVE",
    "party": {**PERSON_REF, "id": 7, "jobTitle": "Owner", **{k: SHARED[k] for k in ("emailAddresses", "phoneNumbers")}},
    "username": "scott",
    "timezone": "Europe/London",
    "lastLoginAt": "2015-12-11T14:01:15Z",
    "name": "Scott Spacey",
    "taskReminder": True,
    "pictureURL": "https://pics.example/user",
    "roles": {"isAccountOwner": True, "isAccountAdmin": False},
}
